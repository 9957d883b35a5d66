"""What a training logs leaves in a thread of its own: training waits for no request, also where a server does not answer."""

from __future__ import annotations

import threading
from collections.abc import Callable
from time import monotonic

_SHARE, _LONGEST_S = 250, 10.0


class Sender:
    """Calls a function soon after it is woken: at most once a second, and after a call it waits 250 times as long, up to 10 s.

    A server on the same machine shares its cores with the training, so it gets few requests with much in each: what one costs
    on both sides is two to three times as long as the call, and all of them together are to cost less than one hundredth.
    """

    def __init__(self, send: Callable[[], object], every_s: float = 1.0) -> None:
        """The thread starts when it is first woken. `send` raises nothing."""
        self._send, self._every_s = send, every_s
        self._change, self._woken, self._closed = threading.Condition(), False, False
        self._thread: threading.Thread | None = None

    def wake(self) -> None:
        """There is something to send; returns at once."""
        with self._change:
            self._woken = True
            self._change.notify()
            if self._thread is None and not self._closed:
                self._thread = threading.Thread(target=self._run, name="log sender", daemon=True)
                self._thread.start()

    def close(self) -> None:
        """Stop, after the call that goes on now. What there is to send is left to the caller."""
        with self._change:
            self._closed = True
            self._change.notify()
        if self._thread is not None:
            self._thread.join()

    def _run(self) -> None:
        while True:
            with self._change:
                self._change.wait_for(lambda: self._closed or self._woken)
                if self._closed:
                    return
                self._woken = False
            began = monotonic()
            self._send()
            self._rest(max(self._every_s, min(_SHARE * (monotonic() - began), _LONGEST_S)))

    def _rest(self, seconds: float) -> None:
        until = monotonic() + seconds
        with self._change:
            while not self._closed and (left := until - monotonic()) > 0:
                self._change.wait(left)
