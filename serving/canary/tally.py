"""Counts of a canary and of the stable version, kept in a file that outlives the counting process."""

from __future__ import annotations

import logging
import math
import threading
import time
from pathlib import Path
from typing import Any, Literal

from registry.errors import InputError, ModelyardError, NotFoundError, UnavailableError, shorten
from serving.bundle.records import Struct, read_frozen

_FIRST_S, _STEPS, _BUCKETS = 1e-3, 4, 68
SideName = Literal["stable", "canary"]
HEARTBEAT_S = 10.0
"""Counts are written at least so often while somebody counts, changed or not: so that a silence is seen."""

log = logging.getLogger("modelyard.serving")


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
    """Both sides. `bundle` is the canary's digest; `compared` requests were answered by both versions.

    `seconds` is for how long somebody counted, by a clock that nobody sets; `saved_at` is in seconds since 1970.
    """

    bundle: str
    stable: Side = Side()
    canary: Side = Side()
    compared: int = 0
    disagreed: int = 0
    seconds: float = 0.0
    saved_at: float = 0.0


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
        self._lock, self._changed, self._at = threading.Lock(), True, time.monotonic()
        self.problem = ""
        before = _readable(path)
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
            self._tally, self._changed = self._tally.changed(**fresh), True

    def compare(self, *, same: bool) -> None:
        """Count an answer that both sides gave."""
        with self._lock:
            compared, disagreed = self._tally.compared + 1, self._tally.disagreed + (not same)
            self._tally, self._changed = self._tally.changed(compared=compared, disagreed=disagreed), True

    def save(self) -> None:
        """Write the tally if it changed, or as a heartbeat. What was counted stays counted where that fails."""
        with self._lock:
            now = time.monotonic()
            if not self._changed and now - self._at < HEARTBEAT_S:
                return
            seconds = self._tally.seconds + now - self._at
            self._tally = tally = self._tally.changed(seconds=seconds, saved_at=time.time())
            self._at, self._changed = now, False
        try:
            tally.write(self._path)
        except BaseException:
            self._changed = True
            raise

    def try_save(self) -> None:
        """The same for a loop that must not end: a failure is a `problem`, logged when it is a new one, and tried again."""
        try:
            self.save()
        except Exception as error:  # noqa: BLE001 whatever keeps counts from disk, counting goes on
            problem = shorten(error if isinstance(error, ModelyardError) else f"{type(error).__name__}: {error}", 200)
            if problem != self.problem:
                log.warning("a canary's counts cannot be saved: %s; counting goes on", problem)
            self.problem = problem
        else:
            if self.problem:
                log.warning("a canary's counts are saved again")
            self.problem = ""


def read_tally(path: Path) -> Tally | None:
    """The tally in a file; None where there is none, or it is damaged. Raises UnavailableError where it cannot be read now."""
    try:
        return read_frozen(path, Tally)
    except InputError as error:
        cause = error.__cause__
        if isinstance(error, NotFoundError) or not isinstance(cause, OSError):
            return None
        why = f"cannot be read ({cause.strerror or type(cause).__name__})"
        raise UnavailableError(path, why, "let this user read it, or remove it and its counts") from error


def _readable(path: Path) -> Tally | None:
    """The tally that counting goes on from, if there is one."""
    try:
        return read_tally(path)
    except UnavailableError as error:
        log.warning("a canary's earlier counts are lost: %s", error)
        return None
