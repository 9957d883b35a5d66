"""Endpoints as they were, without Streamlit: what the collector recorded, as the points of charts and as sums."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from dashboards.endpoints.live import percent
from registry.events import Deployed
from registry.protocols import Entry
from registry.reports.accounts import cost_between
from registry.reports.endpoints import endpoint_spans
from serving.series.buckets import quantile
from serving.series.interval import Interval
from serving.series.polling import is_on_this_machine
from serving.series.reading import Point, Series

QUANTILES = {"p50": 0.5, "p95": 0.95, "p99": 0.99}
_MOST_VERSIONS = 4


class Range(NamedTuple):
    """How far back a chart goes, and the seconds of one of its points, of which there are some 370 at most."""

    seconds: int
    step: int


RANGES = {
    "Last hour": Range(3600, 15),
    "24 hours": Range(86_400, 300),
    "7 days": Range(7 * 86_400, 1800),
    "30 days": Range(30 * 86_400, 7200),
    "1 year": Range(365 * 86_400, 86_400),
}


@dataclass(frozen=True)
class History:
    """What is recorded of an endpoint in a span of time, in seconds since 1970; `known_s` is when recording began."""

    endpoint: str
    known_s: float
    since_s: int
    until_s: int
    step_s: int
    points: Sequence[Point]

    @property
    def total(self) -> Interval:
        """All of it."""
        return sum((point.interval for point in self.points), Interval())

    def by_time(self) -> list[tuple[datetime, Interval | None]]:
        """Each step, of all versions together; None where nobody looked, once for each gap."""
        steps = dict[int, Interval]()
        for point in self.points:
            steps[point.start_s] = steps.get(point.start_s, Interval()) + point.interval
        rows, last = list[tuple[int, Interval | None]](), None
        for start, interval in sorted(steps.items()):
            covered = (interval.watched_ms + interval.unreachable_ms) / 1000
            if last is not None and start - last > covered + 2 * self.step_s:
                rows.append((last + self.step_s, None))
            rows.append((start, interval))
            last = start
        return [(datetime.fromtimestamp(start, UTC), interval) for start, interval in rows]


def read_history(file: Path, endpoint: str, chosen: Range, at: datetime) -> History:
    """What is recorded up to a moment. Raises MissingFileError where nothing is, and DamagedFileError."""
    until = int(at.timestamp())
    since = (until - chosen.seconds) // chosen.step * chosen.step
    series = Series(file)
    known = {recorded.endpoint: recorded.since_s for recorded in series.recorded()}
    points = series.window(endpoint, since, until, chosen.step)
    return History(endpoint, known.get(endpoint, until), since, until, chosen.step, points)


def rate_table(histories: Iterable[History]) -> pd.DataFrame:
    """Columns line, when and value: requests per second while somebody looked."""
    return _lines(histories, {"": lambda interval: interval.rate}, every=True)


def latency_table(histories: Iterable[History]) -> pd.DataFrame:
    """Columns line, when and value: latency in milliseconds, of steps with requests."""
    return _lines(histories, {name: _latency(share) for name, share in QUANTILES.items()})


def error_table(histories: Iterable[History]) -> pd.DataFrame:
    """Columns line, when and value: errors and refusals in percent, of steps with requests."""
    shares: dict[str, _Figure] = {
        "5xx": lambda interval: percent(interval.errors, interval.requests),
        "4xx": lambda interval: percent(interval.refused, interval.requests),
    }
    return _lines(histories, shares)


_Figure = Callable[[Interval], float | None]


def _latency(share: float) -> _Figure:
    def milliseconds(interval: Interval) -> float | None:
        seconds = quantile(interval.latency, share)
        return None if seconds is None else 1000 * seconds

    return milliseconds


def _lines(histories: Iterable[History], figures: dict[str, _Figure], *, every: bool = False) -> pd.DataFrame:
    """A line for each endpoint and figure; `every` step, or those alone in which requests came. Gaps have no value."""
    given = list(histories)
    rows = [
        (_name(history, name, len(given)), when, figure(interval) if interval else None)
        for history in given
        for when, interval in history.by_time()
        if every or interval is None or interval.requests
        for name, figure in figures.items()
    ]
    return pd.DataFrame(rows, columns=["line", "when", "value"]).astype({"value": float})


def _name(history: History, name: str, endpoints: int) -> str:
    return f"{history.endpoint} {name}".strip() if endpoints > 1 or not name else name


def score_table(histories: Iterable[History]) -> pd.DataFrame:
    """Columns version, score, from, pictures and share in percent: each version's best scores, of the busiest versions."""
    given, rows = list(histories), list[tuple[str, str, float, int, float]]()
    for history in given:
        totals = dict[str, Interval]()
        for point in history.points:
            totals[point.version] = totals.get(point.version, Interval()) + point.interval
        busiest = sorted(totals, key=lambda version: -sum(totals[version].scores.values()))[:_MOST_VERSIONS]
        for version in busiest:
            scores, name = totals[version].scores, f"{history.endpoint} {version}" if len(given) > 1 else version
            pictures, low = sum(scores.values()), 0.0
            for edge in sorted(edge for edge in scores if edge <= 1) if pictures else ():
                rows.append((name, f"{low:.1f} to {edge:.1f}", low, scores[edge], 100 * scores[edge] / pictures))
                low = edge
    return pd.DataFrame(rows, columns=["version", "score", "from", "pictures", "share"])


class Sums(NamedTuple):
    """A range in figures; None for what is not known, such as the share of no requests."""

    requests: int
    errors: float | None
    starts: int
    usd_per_thousand: Decimal | None


def sums(entries: Sequence[Entry], histories: Iterable[History]) -> Sums:
    """What the endpoints did together."""
    given = list(histories)
    total = sum((history.total for history in given), Interval())
    usd = sum((cost_of(entries, history) for history in given), Decimal(0))
    each = 1000 * usd / total.requests if total.requests and usd else None
    return Sums(total.requests, percent(total.errors, total.requests), total.starts, each)


def cost_of(entries: Sequence[Entry], history: History) -> Decimal:
    """US dollars for the time that an endpoint stood on this machine within the range, from when on it is recorded."""
    since = datetime.fromtimestamp(max(history.since_s, history.known_s), UTC)
    until, usd = datetime.fromtimestamp(history.until_s, UTC), Decimal(0)
    for span in endpoint_spans(entries):
        event, low, high = span.event, max(since, span.since), min(until, span.until or until)
        if isinstance(event, Deployed) and span.name == history.endpoint and low < high:
            usd += cost_between(entries, event, low, high) if is_on_this_machine(event.target, event.url) else 0
    return usd
