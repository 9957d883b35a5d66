"""A clock that tests advance, so that an hour of billing takes no time."""

from __future__ import annotations

import time
from datetime import UTC, datetime


class VirtualClock:
    """Seconds since 1970. `speed` 0 stops between calls of `advance`; 60 makes a minute of a second."""

    def __init__(self, speed: float = 0.0, start: float | None = None) -> None:
        """Begin now, or at `start`."""
        self._began, self._speed = time.monotonic(), speed
        self._start = time.time() if start is None else start

    def now(self) -> float:
        """The time."""
        return self._start + (time.monotonic() - self._began) * self._speed

    def advance(self, seconds: float) -> None:
        """Advance the clock."""
        self._start += seconds


def stamp(moment: float) -> str:
    """A time as RFC 3339."""
    return datetime.fromtimestamp(moment, UTC).isoformat().replace("+00:00", "Z")
