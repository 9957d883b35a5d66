"""The metrics that Prometheus reads at /metrics.

The client library is imported on the first scrape, or once enough was counted: a cold start does not wait for it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from serving.server.protocols.served import Served
from serving.workers.pool import Timings, WorkerPool

if TYPE_CHECKING:
    from serving.server.prometheus import Figures

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_KEPT = 1000


class Metrics:
    """The metrics of one server: recent events, and those already handed to the library."""

    def __init__(self, served: Served, timings: Timings) -> None:
        """Start counting; `timings` is what the worker pool records, and is emptied here."""
        self._served, self._timings = served, timings
        self._requests, self._labels = list[tuple[str, int, float]](), list[str]()
        self._figures: Figures | None = None

    def count_request(self, protocol: str, status: int, seconds: float) -> None:
        """Count a request."""
        self._requests.append((protocol, status, seconds))
        if len(self._requests) >= _KEPT:
            self._fold()

    def count_answer(self, label: str) -> None:
        """Count a picture's answer."""
        self._labels.append(label)
        if len(self._labels) >= _KEPT:
            self._fold()

    def render(self, pool: WorkerPool) -> bytes:
        """The page."""
        return self._fold().render(pool)

    def _fold(self) -> Figures:
        """Hand recent events to the library."""
        if self._figures is None:
            from serving.server.prometheus import Figures

            self._figures = Figures(self._served)
        self._figures.add(self._requests, self._labels, self._timings)
        self._requests, self._labels = [], []
        return self._figures
