"""Requests per second by endpoint, from counters that only grow until a process starts again."""

from __future__ import annotations

import time
from collections import defaultdict, deque
from collections.abc import Iterable
from datetime import UTC, datetime
from threading import Lock

import pandas as pd

from dashboards.live import EndpointReading

_MOST = 720
_LEAST_S = 2.0


class Rates:
    """The last hour, as far as a viewer had the page open."""

    def __init__(self) -> None:
        """Empty."""
        self._lock = Lock()
        self._seen: dict[str, tuple[float, float]] = {}
        self._points: dict[str, deque[tuple[datetime, float]]] = defaultdict(lambda: deque(maxlen=_MOST))

    def add(self, readings: Iterable[EndpointReading], at: float | None = None) -> None:
        """Add counts that were read at a moment of a clock that never goes back. Several viewers do not count twice."""
        moment = time.monotonic() if at is None else at
        with self._lock:
            for reading in readings:
                if reading.requests is None:
                    continue
                before, count = self._seen.get(reading.name, (moment, reading.requests))
                if moment - before >= _LEAST_S:
                    new = reading.requests - count if reading.requests >= count else reading.requests
                    self._points[reading.name].append((datetime.now(UTC), new / (moment - before)))
                elif reading.name in self._seen:
                    continue
                self._seen[reading.name] = (moment, reading.requests)

    def table(self) -> pd.DataFrame:
        """Columns endpoint, when, requests (per second)."""
        with self._lock:
            rows = [(name, when, rate) for name, points in self._points.items() for when, rate in points]
        return pd.DataFrame(rows, columns=["endpoint", "when", "requests"])
