"""The metrics that Prometheus reads at /metrics.

The client library is imported on the first scrape, or once enough was counted: a cold start does not wait for it.
"""

from __future__ import annotations

from time import time
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
        self._started = time()
        self._requests, self._answers = list[tuple[str, int, float]](), list[tuple[str, float]]()
        self._figures: Figures | None = None

    def count_request(self, protocol: str, status: int, seconds: float) -> None:
        """Count a request."""
        self._requests.append((protocol, status, seconds))
        if len(self._requests) >= _KEPT:
            self._fold()

    def count_answer(self, label: str, score: float) -> None:
        """Count a picture's answer: its best label, and that one's score."""
        self._answers.append((label, score))
        if len(self._answers) >= _KEPT:
            self._fold()

    def render(self, pool: WorkerPool) -> bytes:
        """The page."""
        return self._fold().render(pool)

    def _fold(self) -> Figures:
        """Hand recent events to the library."""
        if self._figures is None:
            from serving.server.prometheus import Figures

            self._figures = Figures(self._served, self._started)
        self._figures.add(self._requests, self._answers, self._timings)
        self._requests, self._answers = [], []
        return self._figures
