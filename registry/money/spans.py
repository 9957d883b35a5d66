"""Time and amounts cut into parts, at the ends of months and days and around what is covered already: nothing twice or lost."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from registry.amounts import round_usd

Span = tuple[datetime, datetime]
_ZERO = Decimal(0)


def as_utc(at: datetime) -> datetime:
    """A moment in UTC; one that names no zone is taken to be."""
    return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)


def seconds(long: timedelta) -> Decimal:
    """A length of time, exactly."""
    return Decimal(long // timedelta(microseconds=1)).scaleb(-6)


def month_of(at: datetime) -> Span:
    """The month in UTC that a moment lies in: its beginning, and that of the next."""
    first = as_utc(at).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    return first, (first + timedelta(days=32)).replace(day=1)


def cut(start: datetime, end: datetime, by_day: str = "") -> list[Span]:
    """A span cut where months end in UTC, and in the month `by_day` (as 2026-11) where days do. One without length stays."""
    spans, low = list[Span](), as_utc(start)
    end = as_utc(end)
    while low < end:
        day = low.replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)
        high = min(end, day if f"{low:%Y-%m}" == by_day else month_of(low)[1])
        spans.append((low, high))
        low = high
    return spans or [(low, low)]


def split_amount(usd: Decimal, weights: Sequence[Decimal]) -> list[Decimal]:
    """An amount in parts by weight, rounded so that they add up to it exactly. Where nothing weighs, in equal parts."""
    weighed = list(weights) if any(weights) else [Decimal(1)] * len(weights)
    total, reached, given, parts = sum(weighed, _ZERO), _ZERO, _ZERO, list[Decimal]()
    for count, weight in enumerate(weighed, 1):
        reached += weight
        upto = usd if count == len(weighed) else min(round_usd(usd * reached / total), usd)
        parts.append(upto - given)
        given = upto
    return parts


class IntervalSet:
    """A set of moments, kept as intervals that do not touch."""

    def __init__(self) -> None:
        """Empty."""
        self._spans: list[Span] = []  # in order, and none touches another

    def gaps(self, start: datetime, end: datetime) -> list[Span]:
        """The parts of a span that are not in the set."""
        gaps, low = list[Span](), start
        first = bisect_right(self._spans, start, key=lambda span: span[1])
        for begin, until in self._spans[first : bisect_left(self._spans, end, key=lambda span: span[0])]:
            if begin > low:
                gaps.append((low, begin))
            low = until
        return [*gaps, (low, end)] if low < end else gaps

    def add(self, start: datetime, end: datetime) -> None:
        """Add a span."""
        first = bisect_left(self._spans, start, key=lambda span: span[1])
        last = bisect_right(self._spans, end, key=lambda span: span[0])
        touched = self._spans[first:last]
        self._spans[first:last] = [(min([start, *(span[0] for span in touched)]), max([end, *(span[1] for span in touched)]))]
