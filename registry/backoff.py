"""How long to wait before something that failed is tried again: the one rule for hooks, deletions and notices."""

from __future__ import annotations

from datetime import datetime, timedelta

FIRST_S = 2.0
LONGEST_S = 600.0


def wait_s(failures: int) -> float:
    """Seconds after so many failures in a row: two after the first, then twice as long each time, up to ten minutes."""
    return min(FIRST_S * 2.0 ** min(max(failures - 1, 0), 30), LONGEST_S)


def wait_is_over(failed_at: datetime, failures: int, now: datetime) -> bool:
    """Whether something that failed at a moment, for so many times in a row, may be tried again."""
    return now - failed_at >= timedelta(seconds=wait_s(failures))
