"""Requests a second by endpoint, from counts that only grow until a process starts again."""

from __future__ import annotations

import time
from collections import defaultdict, deque
from collections.abc import Iterable
from datetime import UTC, datetime
from threading import Lock

import pandas as pd

from dashboards.live import Endpoint

_MOST = 720
_LEAST_S = 2.0


class Rates:
    """The last hour, as far as somebody looked."""

    def __init__(self) -> None:
        """Empty."""
        self._lock = Lock()
        self._seen: dict[str, tuple[float, float]] = {}
        self._points: dict[str, deque[tuple[datetime, float]]] = defaultdict(lambda: deque(maxlen=_MOST))

    def add(self, found: Iterable[Endpoint], at: float | None = None) -> None:
        """Take counts in, seen at a moment of a clock that never goes back. Several viewers do not count twice."""
        moment = time.monotonic() if at is None else at
        with self._lock:
            for one in found:
                if one.requests is None:
                    continue
                before, count = self._seen.get(one.name, (moment, one.requests))
                if moment - before >= _LEAST_S:
                    new = one.requests - count if one.requests >= count else one.requests
                    self._points[one.name].append((datetime.now(UTC), new / (moment - before)))
                elif one.name in self._seen:
                    continue
                self._seen[one.name] = (moment, one.requests)

    def table(self) -> pd.DataFrame:
        """Columns endpoint, when, requests: a second."""
        with self._lock:
            rows = [(name, when, rate) for name, points in self._points.items() for when, rate in points]
        return pd.DataFrame(rows, columns=["endpoint", "when", "requests"])
