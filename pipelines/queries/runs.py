"""Finding and comparing runs on the command line."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from time import time
from typing import Any, NamedTuple

from registry.errors import InputError, NotFoundError
from registry.opening import ledger_of
from registry.reports.accuracy import with_own_scores
from registry.runs.mirror import RunMirror
from registry.runs.rows import KIND, RunRow
from registry.runs.select import filter_runs, pareto, parse_conditions, sort_runs, value_of
from registry.runs.sync import format_ago, sync_runs
from registry.settings import Settings

_MOST_DIGITS = 10


class Found(NamedTuple):
    """Runs, how old that is, and a line where their server does not answer."""

    rows: list[RunRow]
    link: str
    as_of: str
    missing: str


class RunQuery(NamedTuple):
    """Which runs: that fulfil the conditions, by a metric or parameter, ascending where `-` precedes it, else newest first.

    Runs that train nothing (data checks, gates, scores on other data) are left out, unless `checks`, or the conditions name
    their kind or the experiment that they lie in.
    """

    where: str = ""
    sort: str | None = None
    checks: bool = False

    @property
    def trainings_only(self) -> bool:
        """Whether runs that train nothing are left out."""
        return not (self.checks or KIND in self.where or "(checks)" in self.where)


def find_runs(settings: Settings, query: RunQuery, progress: Callable[[int, int], None], *, whole: bool = False) -> Found:
    """The runs of a query. Raises InputError for conditions nobody can read, and for what no run has."""
    conditions, sort, copy = parse_conditions(query.where), query.sort, RunMirror.for_home(settings)
    heard = sync_runs(settings, copy, progress, whole=whole)
    if heard.missing and not heard.synced.at:
        raise NotFoundError("runs", "were never read on this machine, and no server answers", "start it with `modelyard up`")
    known = [row for row in copy.rows() if row.is_training or not query.trainings_only]
    rows = with_own_scores(known, ledger_of(settings).entries())
    by = (sort or "").removeprefix("-")
    if by and rows and all(value_of(row, by) is None for row in rows):
        raise InputError(
            f"--sort {by}", "is not a metric or parameter of any run", "name one that `modelyard runs --json` shows"
        )
    matching = filter_runs(rows, conditions)
    if by:
        matching = sort_runs(matching, by, ascending=sort != by)
    missing = f"{heard.missing}; these are the runs of {format_ago(time() - heard.synced.at)}" if heard.missing else ""
    return Found(matching, heard.link, datetime.fromtimestamp(heard.synced.at, UTC).isoformat(), missing)


def pareto_runs(rows: Sequence[RunRow], axes: str) -> list[RunRow]:
    """The runs that nobody beats in COST,QUALITY: cheaper first."""
    cost, _, quality = (part.strip() for part in axes.partition(","))
    if not cost or not quality:
        raise InputError(f"--front {axes}", "does not name two metrics", "write COST,QUALITY as in cost_usd,test_top1")
    held = [row for row in rows if cost in row.metrics and quality in row.metrics]
    front = pareto([(row.metrics[cost], row.metrics[quality]) for row in held])
    return sorted((row for row, best in zip(held, front, strict=True) if best), key=lambda row: row.metrics[cost])


def run_lines(rows: Sequence[RunRow], metrics: Sequence[str], link: str) -> tuple[list[dict[str, Any]], list[list[str]]]:
    """For machines everything, for people a table with these figures."""
    documents = [
        {
            "run_id": row.run_id,
            "name": row.name,
            "experiment": row.experiment,
            "status": row.status,
            "started": row.started.isoformat(),
            "training": row.is_training,
            "version": _number(row.tags.get("modelyard.version", "")),
            "dataset": row.tags.get("modelyard.dataset") or row.params.get("dataset"),
            "metrics": row.metrics,
            "params": row.params,
            "tags": row.tags,
            "not_numbers": row.odd,
            "url": f"{link}{row.path}" if link else None,
        }
        for row in rows
    ]
    lines = [
        [row.run_id[:8], row.name, row.experiment, row.status, f"{row.started:%Y-%m-%d %H:%M}"]
        + ["" if (value := value_of(row, name)) is None else _short(value) for name in metrics]
        for row in rows
    ]
    return documents, lines


def _number(text: str) -> int | None:
    """The number of a run's version; anybody can write a run's tags."""
    return int(text) if text.isdecimal() and len(text) < _MOST_DIGITS else None


def _short(value: float | str) -> str:
    return value[:40] if isinstance(value, str) else f"{value:.4g}"
