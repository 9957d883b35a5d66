"""What an endpoint's workers tell while nobody answers: whether it makes sense to wait, and what they logged."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from registry.errors import InputError, ModelyardError, UnavailableError, shorten
from serving.targets.contract import Status
from serving.targets.runpod.client import RunPodClient
from serving.targets.runpod.shapes import Endpoint, Worker
from serving.targets.waiting import Clock

_APART_S = 60.0
"""UNHEALTHY is believed when it is seen twice, so far apart: RunPod says it of workers that are only starting."""
_LOOK_S = 10.0
_READY = {"RUNNING", "IDLE"}


@dataclass
class WorkerWatch:
    """Looks at the workers of one endpoint now and then, for as long as somebody waits for an answer."""

    client: RunPodClient
    endpoint: Endpoint
    clock: Clock
    _looked: float = -math.inf
    _sick_since: float | None = None

    def broken(self) -> str:
        """Why nobody will ever answer; "" as long as somebody may. A crashing worker is started again and again."""
        now = self.clock.now()
        if now - self._looked < _LOOK_S:
            return ""
        self._looked = now
        try:
            workers = self.client.workers(self.endpoint.id).workers
        except InputError as error:  # the account's trouble, which no picture causes
            raise UnavailableError(error.subject, error.expectation, error.remedy) from error
        if not workers or any(worker.status != "UNHEALTHY" for worker in workers):
            self._sick_since = None
            return ""
        if self._sick_since is None:
            self._sick_since = now
        if now - self._sick_since < _APART_S:
            return ""
        return f"has only unhealthy workers: {self._log_of(workers[-1]) or 'their logs are empty'}"

    def last_words(self) -> str:
        """What its newest worker logged last, for an error at the deadline; "" where nothing can be read.

        A worker that crashes in a loop may be called running, and a machine that is waited for logs that.
        """
        try:
            workers = self.client.workers(self.endpoint.id).workers
            return self._log_of(workers[-1]) if workers else ""
        except ModelyardError:
            return ""

    def _log_of(self, worker: Worker) -> str:
        lines = self.client.worker_logs(self.endpoint.id, worker.id, 5)
        return shorten(lines[-1], 160) if lines else ""


def status_of(workers: Sequence[Worker]) -> Status:
    """An endpoint's state by its workers."""
    if not workers:
        return Status(state="asleep", detail="no worker; the next request starts one")
    counts = {state: sum(worker.status == state for worker in workers) for state in sorted({w.status for w in workers})}
    detail = ", ".join(f"{count} {state.lower()}" for state, count in counts.items())
    stale = sum(worker.is_stale for worker in workers)
    detail += f", {stale} of an older release" if stale else ""
    if any(worker.status in _READY for worker in workers):
        return Status(state="live", detail=detail)
    return Status(state="broken" if "UNHEALTHY" in counts else "starting", detail=detail)
