"""Ctrl-C as the usual end of something that runs until it is stopped."""

from __future__ import annotations

import signal
import threading
from collections.abc import Generator
from contextlib import contextmanager
from types import FrameType
from typing import Any, Self

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Stop:
    """Whether to stop. Within the block, Ctrl-C and SIGTERM ask for it, and nothing is cut off in its middle.

    What waits for the next picture is cut off at once: see `waiting`. Signals reach the main thread alone; on any other,
    only `request` stops.
    """

    def __init__(self) -> None:
        """Nobody has asked yet."""
        self.requested = False
        self._waits = False
        self._before: dict[signal.Signals, Any] = {}

    def request(self) -> None:
        """Ask for it."""
        self.requested = True

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._received) for number in _SIGNALS}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    @contextmanager
    def waiting(self) -> Generator[None]:
        """A block in which nothing would be left half done. Raises KeyboardInterrupt when it is time to stop."""
        self._waits = True
        try:
            if self.requested:
                raise KeyboardInterrupt
            yield
        finally:
            self._waits = False

    def _received(self, _number: int, _frame: FrameType | None) -> None:
        self.requested = True
        if self._waits:
            raise KeyboardInterrupt
