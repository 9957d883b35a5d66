"""Polling with a deadline, on a clock that tests can advance."""

from __future__ import annotations

import functools
import ssl
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass


@dataclass(frozen=True)
class Clock:
    """The time, and a way to wait."""

    now: Callable[[], float] = time.monotonic
    sleep: Callable[[float], object] = time.sleep

    def poll(self, seconds: float, pause: float = 1.0, longest: float = 15.0) -> Iterator[float]:
        """Yield the seconds waited so far, at growing intervals, and once more at the deadline; the caller breaks when done."""
        began = self.now()
        while (waited := self.now() - began) < seconds:
            yield waited
            self.sleep(min(pause, max(seconds - (self.now() - began), 0.01)))
            pause = min(pause * 1.5, longest)
        yield waited


@dataclass
class Stopwatch:
    """Seconds from requesting the last new worker until it answered; None before that."""

    seconds: float | None = None


@functools.cache
def tls() -> ssl.SSLContext:
    """The system's certificates, read once: reading takes longer than a request."""
    return ssl.create_default_context()
