"""Workers that come when they are needed and go when they are idle: a simulation of scale-to-zero.

A request is answered by whoever is free first; of several that are free, by the one that was busy last, so that the others
may go. Where nobody is free within `scale_after_s`, one more worker is started, up to `max_workers`. A request that was
given to a worker stays with it. All requests take the same time.

It is held against closed forms: M/D/1 and the on-off cycle of one worker (`tests/registry/test_fleet.py`).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Self

from pydantic import Field, model_validator

from registry.records import Record


class Fleet(Record):
    """What a provider is told about an endpoint's workers, and how long things take. Seconds."""

    min_workers: int = Field(default=0, ge=0)
    max_workers: int = Field(default=1, ge=1)
    service_s: float = Field(gt=0, allow_inf_nan=False)
    cold_start_s: float = Field(default=0, ge=0, allow_inf_nan=False)
    idle_s: float = Field(default=5, ge=0, allow_inf_nan=False)
    scale_after_s: float = Field(default=0, ge=0, allow_inf_nan=False)

    @model_validator(mode="after")
    def _is_a_range(self) -> Self:
        if self.min_workers > self.max_workers:
            raise ValueError(f"min_workers {self.min_workers} is above max_workers {self.max_workers}")
        return self


@dataclass
class Served:
    """What came of it: a wait for each request, and when workers ran that were started for them."""

    waits: list[float] = field(default_factory=list[float])
    spans: list[tuple[float, float]] = field(default_factory=list[tuple[float, float]])
    cold: int = 0

    def wait_at(self, share: float) -> float:
        """The wait that this share of the requests does not exceed; 0 for none."""
        if not self.waits:
            return 0.0
        ordered = sorted(self.waits)
        return ordered[min(int(share * len(ordered)), len(ordered) - 1)]


@dataclass
class _Worker:
    started: float | None  # None: always on
    free: float


def simulate(fleet: Fleet, arrivals: Iterable[float]) -> Served:
    """Put requests to a fleet. Spans are of workers above `min_workers`, idle timeout included, the last one too."""
    found, staff = Served(), [_Worker(None, 0.0) for _ in range(fleet.min_workers)]
    for now in arrivals:
        staff = _let_go(staff, now, fleet.idle_s, found)
        chosen = _free(staff, now) or _soonest(staff, now, fleet, found)
        begins = max(chosen.free, now)
        found.waits.append(begins - now)
        chosen.free = begins + fleet.service_s
    _let_go(staff, float("inf"), fleet.idle_s, found)
    return found


def _let_go(staff: list[_Worker], now: float, idle_s: float, found: Served) -> list[_Worker]:
    stay = list[_Worker]()
    for one in staff:
        if one.started is None or one.free + idle_s > now:
            stay.append(one)
        else:
            found.spans.append((one.started, one.free + idle_s))
    return stay


def _free(staff: list[_Worker], now: float) -> _Worker | None:
    idle = [one for one in staff if one.free <= now]
    return max(idle, key=lambda one: (one.started is None, one.free)) if idle else None


def _soonest(staff: list[_Worker], now: float, fleet: Fleet, found: Served) -> _Worker:
    busy = min(staff, key=lambda one: one.free) if staff else None
    if len(staff) < fleet.max_workers and (busy is None or busy.free - now > fleet.scale_after_s):
        fresh = _Worker(now, now + fleet.cold_start_s)
        staff.append(fresh)
        if busy is None or fresh.free < busy.free:
            found.cold += 1
            return fresh
    assert busy is not None  # noqa: S101 max_workers is at least one
    return busy
