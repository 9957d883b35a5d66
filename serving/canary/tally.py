"""Counts of a canary and of the stable version, kept in a file that outlives the counting process."""

from __future__ import annotations

import math
import threading
import time
from pathlib import Path
from typing import Any, Literal

from registry.errors import ModelyardError
from serving.bundle.records import Struct, read_frozen

_FIRST_S, _STEPS, _BUCKETS = 1e-3, 4, 68
SideName = Literal["stable", "canary"]


class Side(Struct, frozen=True):
    """One version's requests. `buckets` is a histogram of durations: from 1 ms on, four buckets per doubling."""

    requests: int = 0
    failed: int = 0
    buckets: tuple[int, ...] = (0,) * _BUCKETS

    @staticmethod
    def edge(bucket: int) -> float:
        """The longest duration, in seconds, that falls into a bucket."""
        return _FIRST_S * 2.0 ** (bucket / _STEPS)

    def with_request(self, seconds: float, *, failed: bool) -> Side:
        """With one more request; failures do not count towards durations."""
        if failed:
            return self.changed(requests=self.requests + 1, failed=self.failed + 1)
        bucket = min(max(math.ceil(_STEPS * math.log2(max(seconds, 1e-9) / _FIRST_S)), 0), _BUCKETS - 1)
        buckets = (*self.buckets[:bucket], self.buckets[bucket] + 1, *self.buckets[bucket + 1 :])
        return self.changed(requests=self.requests + 1, buckets=buckets)


class Tally(Struct, frozen=True):
    """Both sides. `bundle` is the canary's digest; `compared` requests were answered by both versions."""

    bundle: str
    stable: Side = Side()
    canary: Side = Side()
    compared: int = 0
    disagreed: int = 0


class SplitOrder(Struct, frozen=True):
    """An active canary: its URL, its share of the requests, and the file to count in."""

    url: str
    bundle: str
    share: float
    tally: str


class TrafficCounter:
    """Counts requests and decides which version gets the next. Safe to share between threads."""

    def __init__(self, bundle: str, share: float, path: Path) -> None:
        """Continue the file's tally if it is about the same bundle."""
        self._share, self._path, self._owed = share, path, 0.0
        self._lock, self._written, self._at = threading.Lock(), Tally(""), 0.0
        before = read_tally(path)
        self._tally = before if before and before.bundle == bundle else Tally(bundle)

    @property
    def tally(self) -> Tally:
        """As it is now."""
        return self._tally

    def next_is_canary(self) -> bool:
        """Whether the next request goes to the canary: exactly its share does, evenly spread."""
        with self._lock:
            self._owed += self._share
            if self._owed < 1.0:
                return False
            self._owed -= 1.0
            return True

    def note(self, side: SideName, seconds: float, *, failed: bool) -> None:
        """Count a request to one side."""
        with self._lock:
            fresh: dict[str, Any] = {side: getattr(self._tally, side).with_request(seconds, failed=failed)}
            self._tally = self._tally.changed(**fresh)

    def compare(self, *, same: bool) -> None:
        """Count an answer that both sides gave."""
        with self._lock:
            self._tally = self._tally.changed(compared=self._tally.compared + 1, disagreed=self._tally.disagreed + (not same))

    def save(self, every: float = 0.0) -> None:
        """Write the tally if it changed and the last write was at least `every` seconds ago."""
        tally, now = self._tally, time.monotonic()
        if tally is not self._written and now - self._at >= every:
            tally.write(self._path)
            self._written, self._at = tally, now


def read_tally(path: Path) -> Tally | None:
    """The tally in a file, if there is one that can be read."""
    try:
        return read_frozen(path, Tally)
    except ModelyardError:
        return None
