"""How long to wait before something that failed is tried again: the one rule for hooks, deletions, notices and requests."""

from __future__ import annotations

from datetime import datetime, timedelta

FIRST_S = 2.0
LONGEST_S = 600.0


def wait_s(failures: int, first: float = FIRST_S, longest: float = LONGEST_S) -> float:
    """Seconds after so many failures in a row: `first` after one, then twice as long each time, up to `longest`."""
    return min(first * 2.0 ** min(max(failures - 1, 0), 30), longest)


def wait_is_over(failed_at: datetime, failures: int, now: datetime) -> bool:
    """Whether something that failed at a moment, for so many times in a row, may be tried again.

    A moment that lies in the future was written before the clock was set back: nothing tells how long ago that was, so
    the wait is over. Each time the clock is set back costs one more wait at most.
    """
    return not failed_at <= now < until(failed_at, failures)


def until(failed_at: datetime, failures: int) -> datetime:
    """The moment from which on something that failed may be tried again."""
    return failed_at + timedelta(seconds=wait_s(failures))
