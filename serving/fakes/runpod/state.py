"""The double's state over time: workers boot, idle away, go stale; seconds are billed.

Nothing runs in the background: `settle` advances an endpoint to the current time on each access.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from serving.fakes.clock import VirtualClock, stamp

Program = Callable[[bytes], dict[str, Any]]
"""What a worker runs: an image file's bytes → what our server would answer."""

Boot = Callable[[dict[str, str]], Program]
"""Starts it from its environment; raises with the reason that the container would have logged."""

DAY = 86_400.0
_CYCLE_S = 5.0
_THROTTLED_DAYS = 3
_STOPPED_DAYS = 7
_FEW = 2
CONTAINER = ("image", "env", "args", "disk", "ports", "registry")
GPUS = {
    "AMPERE_16": ("NVIDIA RTX A4000", 16, 0.58),
    "AMPERE_24": ("NVIDIA RTX A5000", 24, 0.69),
    "ADA_24": ("NVIDIA GeForce RTX 4090", 24, 1.12),
    "AMPERE_48": ("NVIDIA A40", 48, 1.22),
    "ADA_80_PRO": ("NVIDIA H100 80GB HBM3", 80, 4.18),
}
"""Pool → a GPU of it, its memory in GB, US dollars an hour on Serverless: example prices."""
CPU_USD = 0.03
"""An hour of one vCPU."""


@dataclass
class Worker:
    """One container."""

    id: str
    version: int
    image: str
    started: float
    ready: float
    program: Program | None = None
    used: float = 0.0
    ended: float | None = None
    unhealthy: bool = False
    throttled: bool = False
    log: list[tuple[float, str]] = field(default_factory=list[tuple[float, str]])

    def status(self, now: float) -> str:
        """Its status in RunPod's words."""
        if self.unhealthy:
            return "UNHEALTHY"
        if self.throttled:
            return "THROTTLED"
        return "IDLE" if now >= self.ready else "INITIALIZING"


@dataclass
class Endpoint:
    """One endpoint: its settings, and its state."""

    id: str
    spec: dict[str, Any]
    created: float
    version: int = 1
    changed: float = 0.0
    asked: float = 0.0
    workers: list[Worker] = field(default_factory=list[Worker])
    releases: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    jobs: dict[str, dict[str, Any]] = field(default_factory=dict[str, dict[str, Any]])
    never_cycles: bool = False
    broken: str = ""
    serial: int = 0

    @property
    def active(self) -> list[Worker]:
        """Workers that run or start."""
        return [worker for worker in self.workers if worker.ended is None]

    @property
    def usd_per_second(self) -> float:
        """The cost of one worker."""
        if cpus := self.spec.get("cpu"):
            return max(cpu["vcpuCount"] for cpu in cpus) * CPU_USD / 3600
        gpu = self.spec["gpu"]
        return max(GPUS[pool][2] for pool in gpu["pools"]) * gpu.get("count", 1) / 3600

    def billed(self, now: float, since: float = 0.0, until: float = math.inf) -> float:
        """US dollars for the seconds of its workers within a span, each worker's rounded up."""
        spans = [
            min(worker.ended or now, until) - max(worker.started, since) for worker in self.workers if not worker.throttled
        ]
        return sum(math.ceil(span) for span in spans if span > 0) * self.usd_per_second


@dataclass
class Cloud:
    """An account."""

    clock: VirtualClock
    boot: Boot
    boot_s: float = 8.0
    endpoints: dict[str, Endpoint] = field(default_factory=dict[str, Endpoint])
    deleted: list[Endpoint] = field(default_factory=list[Endpoint])
    templates: dict[str, dict[str, Any]] = field(default_factory=dict[str, dict[str, Any]])
    registries: dict[str, dict[str, Any]] = field(default_factory=dict[str, dict[str, Any]])
    serial: int = 0

    def number(self, kind: str) -> str:
        """A new id."""
        self.serial += 1
        return f"{kind}{self.serial:09d}"

    def create(self, spec: dict[str, Any], fault: str | None = None) -> Endpoint:
        """A new endpoint; with a fault its workers never come up."""
        now, broken = self.clock.now(), fault if fault in {"stuck", "unhealthy"} else ""
        endpoint = Endpoint(self.number("ep"), spec, now, changed=now, asked=now, broken=broken or "")
        endpoint.releases.append(_release(endpoint, now, []))
        self.endpoints[endpoint.id] = endpoint
        self.settle(endpoint)
        return endpoint

    def change(self, endpoint: Endpoint, changes: dict[str, Any]) -> None:
        """Change the given fields; a change that containers see makes a new version."""
        now, diff = self.clock.now(), list[dict[str, Any]]()
        for name, value in changes.items():
            old = endpoint.spec.get(name)
            new = {**old, **value} if name in {"workers", "gpu"} and isinstance(old, dict) else value
            if old != new and name in CONTAINER:
                diff.append({"field": f"template.{name}", "old": old, "new": new})
            endpoint.spec[name] = new
        if diff:
            endpoint.version += 1
            endpoint.changed = now
            endpoint.releases.insert(0, _release(endpoint, now, diff))
        self.settle(endpoint)

    def delete(self, endpoint: Endpoint) -> None:
        """All its workers end with it."""
        self.settle(endpoint)
        for worker in endpoint.active:
            worker.ended = self.clock.now()
        self.deleted.append(self.endpoints.pop(endpoint.id))

    def settle(self, endpoint: Endpoint) -> None:
        """Advance an endpoint to the current time."""
        now, workers = self.clock.now(), endpoint.spec["workers"]
        quiet_days = (now - endpoint.asked) / DAY
        if quiet_days >= _STOPPED_DAYS:
            workers["max"] = workers["min"] = 0
        elif quiet_days >= _THROTTLED_DAYS:
            workers["max"] = min(workers["max"], _FEW)
        idle_s = workers.get("idleTimeout", 10)
        for worker in endpoint.active:
            if worker.version < endpoint.version and not endpoint.never_cycles and now >= endpoint.changed + _CYCLE_S:
                worker.ended = max(endpoint.changed + _CYCLE_S, worker.started)
            elif len(endpoint.active) > workers["min"] and now >= max(worker.ready, worker.used) + idle_s:
                worker.ended = max(worker.ready, worker.used) + idle_s
        for worker in endpoint.active[workers["max"] :]:
            worker.ended = now
        while len(endpoint.active) < min(workers["min"], workers["max"]):
            self.start(endpoint)

    def start(self, endpoint: Endpoint) -> Worker:
        """Another worker, booting."""
        now = self.clock.now()
        endpoint.serial += 1
        boot_s = self.boot_s / 4 if endpoint.spec.get("flashboot") == "FLASHBOOT" and endpoint.serial > 1 else self.boot_s
        worker = Worker(f"{endpoint.id}w{endpoint.serial}", endpoint.version, endpoint.spec.get("image", ""), now, now + boot_s)
        endpoint.workers.append(worker)
        if endpoint.broken:
            worker.throttled, worker.unhealthy, worker.ready = (
                endpoint.broken == "stuck",
                endpoint.broken == "unhealthy",
                math.inf,
            )
            worker.log.append((now, "waiting for capacity" if worker.throttled else "worker exited with exit code 1"))
            return worker
        try:
            worker.program = self.boot(endpoint.spec.get("env") or {})
            worker.log.append((now, "worker started"))
        except Exception as error:  # noqa: BLE001 whatever a container raises
            worker.unhealthy = True
            worker.log.append((now, f"worker exited: {error}"))
        return worker

    def take(self, endpoint: Endpoint) -> Worker | None:
        """A worker that can answer now; otherwise one is started, if allowed."""
        endpoint.asked = self.clock.now()
        self.settle(endpoint)
        for worker in endpoint.active:
            if worker.status(endpoint.asked) == "IDLE":
                worker.used = endpoint.asked
                return worker
        if len(endpoint.active) < endpoint.spec["workers"]["max"]:
            self.start(endpoint)
        return None

    def spent(self) -> float:
        """US dollars spent on all endpoints."""
        for endpoint in self.endpoints.values():
            self.settle(endpoint)
        now = self.clock.now()
        return sum(endpoint.billed(now) for endpoint in [*self.endpoints.values(), *self.deleted])


def _release(endpoint: Endpoint, now: float, diff: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "id": f"{endpoint.id}r{endpoint.version}",
        "version": endpoint.version,
        "source": "MANUAL",
        "buildId": None,
        "createdByUserId": None,
        "createdAt": stamp(now),
        "diff": diff,
    }
