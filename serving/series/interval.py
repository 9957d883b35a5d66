"""What happened in an interval: the difference between two looks at counters that only grow until a process starts again.

Intervals are added: those of an hour are the hour's, whichever order they come in.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from serving.series.buckets import Buckets, merged


class Counters(NamedTuple):
    """What an endpoint's process has counted since it started; `started` is in seconds since 1970, 0 where it is not known.

    `errors` are answers of 500 and over, `refused` those of 400 to 499. Latency is in seconds.
    """

    started: float
    requests: int
    errors: int
    refused: int
    latency: Buckets
    scores: Buckets


NOTHING = Counters(0.0, 0, 0, 0, {}, {})


@dataclass(frozen=True, slots=True)
class Interval:
    """What was counted. `late` of the requests came while nobody looked, so that nobody knows at what rate.

    Times are in milliseconds, so that sums are exact: `watched_ms` in which all other requests came, and `unreachable_ms`.
    """

    requests: int = 0
    errors: int = 0
    refused: int = 0
    late: int = 0
    starts: int = 0
    watched_ms: int = 0
    unreachable_ms: int = 0
    latency: Buckets = field(default_factory=dict[float, int])
    scores: Buckets = field(default_factory=dict[float, int])

    def __add__(self, other: Interval) -> Interval:
        """Both together."""
        return Interval(
            self.requests + other.requests,
            self.errors + other.errors,
            self.refused + other.refused,
            self.late + other.late,
            self.starts + other.starts,
            self.watched_ms + other.watched_ms,
            self.unreachable_ms + other.unreachable_ms,
            merged(self.latency, other.latency),
            merged(self.scores, other.scores),
        )

    @property
    def rate(self) -> float | None:
        """Requests per second while it was watched; None where it was not."""
        return 1000 * (self.requests - self.late) / self.watched_ms if self.watched_ms else None


class Seen(NamedTuple):
    """An endpoint as it was looked at last. `counters` are those of its last answer; `since_ms` is from when on it is known."""

    at_ms: int
    answered: bool
    counters: Counters | None
    since_ms: int


def advance(before: Seen | None, counters: Counters | None, at_ms: int, gap_ms: int) -> tuple[Interval, Seen]:
    """What happened since the last look, and this look; `counters` is None for an endpoint that did not answer.

    After longer than the gap, a look that failed, or a clock that was set back, nobody knows when what is new happened.
    """
    elapsed = at_ms - before.at_ms if before else 0
    since_ms = before.since_ms if before else at_ms
    steady = 0 < elapsed <= gap_ms
    if counters is None:
        kept = before.counters if before else None
        return Interval(unreachable_ms=elapsed if steady else 0), Seen(at_ms, answered=False, counters=kept, since_ms=since_ms)
    known = before.counters if before else None
    again = known is None or _has_restarted(known, counters)
    new = _difference(counters, NOTHING if known is None or again else known)
    if known is None and counters.started:
        since_ms = min(since_ms, int(counters.started * 1000))
    watched = elapsed if steady and before and before.answered else 0
    interval = Interval(
        new.requests,
        new.errors,
        new.refused,
        late=0 if watched else new.requests,
        starts=int(again),
        watched_ms=watched,
        latency=new.latency,
        scores=new.scores,
    )
    return interval, Seen(at_ms, answered=True, counters=counters, since_ms=since_ms)


def _has_restarted(known: Counters, counters: Counters) -> bool:
    if known.started and counters.started and known.started != counters.started:
        return True
    fields = ("requests", "errors", "refused")
    return (
        any(getattr(counters, name) < getattr(known, name) for name in fields)
        or _fell(known.latency, counters.latency)
        or _fell(known.scores, counters.scores)
    )


def _fell(before: Buckets, after: Buckets) -> bool:
    return any(after.get(edge, 0) < count for edge, count in before.items())


def _difference(counters: Counters, base: Counters) -> Counters:
    return Counters(
        counters.started,
        counters.requests - base.requests,
        counters.errors - base.errors,
        counters.refused - base.refused,
        {edge: count - base.latency.get(edge, 0) for edge, count in counters.latency.items()},
        {edge: count - base.scores.get(edge, 0) for edge, count in counters.scores.items()},
    )
