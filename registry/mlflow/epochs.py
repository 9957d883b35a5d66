"""A run's metrics per epoch, on their way to the server in a thread of their own: training waits for no request.

At most one request a second is sent, with all that came meanwhile, and after a slow one the next waits a hundred times as
long: a server on the same machine shares its cores with the training. What a server does not take stays here, in order, and
is sent again with what comes next; only `flush` raises, so a server that is away for a while stops no training.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from math import nan
from time import monotonic

from mlflow.entities import Metric
from mlflow.utils.time import get_current_time_millis
from mlflow.utils.validation import MAX_METRICS_PER_BATCH

from registry.errors import ModelyardError

Send = Callable[[Sequence[Metric]], None]
"""Sends up to 1,000 points in one request. Raises ModelyardError when they did not arrive; they are then sent again."""

_SHARE, _LONGEST_S = 100, 10.0
_FORBIDDEN = re.compile(r"[^\w\-. :/]")


def points(values: Mapping[str, float], step: int) -> list[Metric]:
    """One step's metrics as MLflow takes them, stamped now; in names, what MLflow refuses becomes `_` (`mAP50(B)`)."""
    stamp = get_current_time_millis()
    return [Metric(_FORBIDDEN.sub("_", key), _number(value), stamp, step) for key, value in values.items()]


def _number(value: object) -> float:
    """A metric's value; what is no number counts as NaN, so that one odd figure does not hold up the others."""
    try:
        return float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return nan


class EpochQueue:
    """The points of one run that the server does not have yet. `add` never waits and never raises."""

    def __init__(self, send: Send, every_s: float = 1.0) -> None:
        """The thread starts with the first point. `every_s`: how long it waits after a request before the next, at least."""
        self._send, self._every_s = send, every_s
        self._pending = list[Metric]()
        self._more, self._sending = threading.Condition(), threading.Lock()
        self._thread: threading.Thread | None = None
        self._closed = False

    def add(self, values: Mapping[str, float], step: int) -> None:
        """Take one step's metrics."""
        with self._more:
            self._pending += points(values, step)
            self._more.notify()
            if self._thread is None and not self._closed:
                self._thread = threading.Thread(target=self._run, name="metrics", daemon=True)
                self._thread.start()

    @property
    def pending(self) -> list[Metric]:
        """What was not sent yet, oldest first."""
        with self._more:
            return list(self._pending)

    def flush(self) -> None:
        """Send the rest now and wait for it. Raises what the sending raises; the points stay pending then."""
        while self._send_some():
            pass

    def close(self) -> None:
        """Stop the thread. What is pending stays so: `flush` before."""
        with self._more:
            self._closed = True
            self._more.notify()
        if self._thread is not None:
            self._thread.join()

    def _run(self) -> None:
        while True:
            with self._more:
                self._more.wait_for(lambda: self._closed or self._pending)
                if self._closed:
                    return
            began = monotonic()
            with suppress(ModelyardError):
                self._send_some()
            took = monotonic() - began
            until = monotonic() + max(self._every_s, min(_SHARE * took, _LONGEST_S))
            with self._more:
                while not self._closed and (left := until - monotonic()) > 0:
                    self._more.wait(left)

    def _send_some(self) -> bool:
        """One request; whether there was anything to send. Points leave the queue only when they have arrived."""
        with self._sending:
            with self._more:
                batch = self._pending[:MAX_METRICS_PER_BATCH]
            if batch:
                self._send(batch)
                with self._more:
                    del self._pending[: len(batch)]
            return bool(batch)
