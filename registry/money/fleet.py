"""Workers that start when they are needed and stop when they are idle: a simulation of scale-to-zero.

A request goes to the worker that is free first; of several free ones, to the one that was busy last, so that the others
may stop. Where none is free within `scale_after_s`, one more worker is started, up to `max_workers`; with a count of
`scale_after_requests`, where more than so many of each worker's are in flight. A request that was given to a worker stays
with it. All requests take the same time.

It is checked against closed forms: M/D/1 and the on-off cycle of one worker (`tests/registry/money/test_fleet.py`).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Self

from pydantic import Field, model_validator

from registry.records import Record


class Fleet(Record):
    """An endpoint's worker settings at a provider, and how long things take. Seconds."""

    min_workers: int = Field(default=0, ge=0)
    max_workers: int = Field(default=1, ge=1)
    service_s: float = Field(gt=0, allow_inf_nan=False)
    cold_start_s: float = Field(default=0, ge=0, allow_inf_nan=False)
    idle_s: float = Field(default=5, ge=0, allow_inf_nan=False)
    scale_after_s: float = Field(default=0, ge=0, allow_inf_nan=False)
    scale_after_requests: int = Field(default=0, ge=0, description="0: workers are not started by a count")

    @model_validator(mode="after")
    def _is_a_range(self) -> Self:
        if self.min_workers > self.max_workers:
            raise ValueError(f"min_workers {self.min_workers} is above max_workers {self.max_workers}")
        return self


@dataclass
class SimulationResult:
    """What came of it: a wait for each request, and when workers ran that were started for them."""

    waits: list[float] = field(default_factory=list[float])
    spans: list[tuple[float, float]] = field(default_factory=list[tuple[float, float]])
    cold: int = 0

    @cached_property
    def _ordered(self) -> list[float]:
        return sorted(self.waits)

    def wait_quantile(self, share: float) -> float:
        """The wait that this share of the requests does not exceed; 0 for none."""
        ordered = self._ordered
        if not ordered:
            return 0.0
        return ordered[min(int(share * len(ordered)), len(ordered) - 1)]


@dataclass
class _Worker:
    started: float | None  # None: always on
    free: float
    ends: deque[float] = field(default_factory=deque[float])

    def in_flight(self, now: float) -> int:
        """Its requests that are not answered yet."""
        while self.ends and self.ends[0] <= now:
            self.ends.popleft()
        return len(self.ends)


def simulate(fleet: Fleet, arrivals: Iterable[float]) -> SimulationResult:
    """Put requests to a fleet. Spans are of workers above `min_workers`, idle timeout included, the last one too."""
    result, workers = SimulationResult(), [_Worker(None, 0.0) for _ in range(fleet.min_workers)]
    idle_s, service_s, counted, wait = fleet.idle_s, fleet.service_s, fleet.scale_after_requests, result.waits.append
    for now in arrivals:
        only = workers[0] if len(workers) == 1 else None
        if only and only.free <= now and (only.started is None or now < only.free + idle_s):
            chosen = only  # most requests: what follows would choose it too, in three times the time
        else:
            workers = _stop_idle(workers, now, idle_s, result)
            chosen = _pick_free(workers, now) or _pick_soonest(workers, now, fleet, result)
        begins = max(chosen.free, now)
        wait(begins - now)
        chosen.free = begins + service_s
        if counted:
            chosen.ends.append(chosen.free)
    _stop_idle(workers, float("inf"), idle_s, result)
    return result


def _stop_idle(workers: list[_Worker], now: float, idle_s: float, result: SimulationResult) -> list[_Worker]:
    for worker in workers:
        if worker.started is not None and worker.free + idle_s <= now:
            break
    else:
        return workers  # nearly always: a forecast asks a million times
    stay = list[_Worker]()
    for worker in workers:
        if worker.started is None or worker.free + idle_s > now:
            stay.append(worker)
        else:
            result.spans.append((worker.started, worker.free + idle_s))
    return stay


def _pick_free(workers: list[_Worker], now: float) -> _Worker | None:
    best: _Worker | None = None
    for worker in workers:  # a loop, because `max` with a key takes three times as long
        if worker.free <= now:
            always, free = worker.started is None, worker.free
            if best is None or always > (best.started is None) or (always == (best.started is None) and free > best.free):
                best = worker
    return best


def _is_due(workers: list[_Worker], busy: _Worker, now: float, fleet: Fleet) -> bool:
    """Whether one more worker is started for a request that comes now, while all are busy."""
    if fleet.scale_after_requests:
        return sum(worker.in_flight(now) for worker in workers) >= fleet.scale_after_requests * len(workers)
    return busy.free - now > fleet.scale_after_s


def _pick_soonest(workers: list[_Worker], now: float, fleet: Fleet, result: SimulationResult) -> _Worker:
    busy = min(workers, key=lambda worker: worker.free) if workers else None
    if len(workers) < fleet.max_workers and (busy is None or _is_due(workers, busy, now, fleet)):
        fresh = _Worker(now, now + fleet.cold_start_s)
        workers.append(fresh)
        if busy is None or fresh.free < busy.free:
            result.cold += 1
            return fresh
    assert busy is not None  # noqa: S101 max_workers is at least one
    return busy
