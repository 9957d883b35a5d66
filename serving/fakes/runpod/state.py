"""The double's state over time: workers boot, idle away, go stale; seconds are billed.

Nothing runs in the background: `settle` advances an endpoint to the current time on each access.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from serving.fakes.clock import VirtualClock, begun, stamp
from serving.fakes.runpod.hardware import Hardware, Host, Image, trouble

Program = Callable[[bytes], dict[str, Any]]
"""What a worker runs: an image file's bytes → what our server would answer."""

Boot = Callable[[dict[str, str]], Program]
"""Starts it from its environment; raises with the reason that the container would have logged."""

DAY = 86_400.0
_CYCLE_S = 5.0
_THROTTLED_DAYS = 3
_STOPPED_DAYS = 7
_FEW = 2
CONTAINER = ("image", "env", "args", "entrypoint", "cmd", "disk", "ports", "registry")
FATES = frozenset({"stuck", "unhealthy", "wobbly", "looping", "eager"})
"""What becomes of an endpoint's workers. stuck: no machine for them. unhealthy: they crash at their start. wobbly: they are
called unhealthy for a while, and are not. looping: they crash again and again, and are called running. eager: they are
called running before they are ready."""
_WOBBLE_S = 40.0
QUOTA = 5
"""The workers of all endpoints together that RunPod allows a new account."""


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
    sick_until: float = 0.0
    eager: bool = False
    host: Host = field(default_factory=Host)
    log: list[tuple[float, str]] = field(default_factory=list[tuple[float, str]])

    def status(self, now: float) -> str:
        """Its status in RunPod's words."""
        if self.unhealthy or now < self.sick_until:
            return "UNHEALTHY"
        if self.throttled:
            return "THROTTLED"
        if now >= self.ready:
            return "IDLE"
        return "RUNNING" if self.eager else "INITIALIZING"

    def answers(self, now: float) -> bool:
        """Whether it can take a request."""
        return now >= self.ready and not self.unhealthy and not self.throttled and self.program is not None


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
    usd_per_second: float = 0.0

    @property
    def active(self) -> list[Worker]:
        """Workers that run or start."""
        return [worker for worker in self.workers if worker.ended is None]

    def billed(self, now: float, since: float = 0.0, until: float = math.inf) -> float:
        """US dollars for the seconds of its workers within a span, each worker's rounded up."""
        spans = [
            min(worker.ended or now, until) - max(worker.started, since) for worker in self.workers if not worker.throttled
        ]
        return sum(begun(span) for span in spans if span > 0) * self.usd_per_second


@dataclass
class Cloud:
    """An account."""

    clock: VirtualClock
    boot: Boot
    boot_s: float = 8.0
    quota: int = QUOTA
    pull_s: float = 0.0
    """How long an image is pulled of which nothing else is known."""
    suffix: str = ""
    """What the API adds to the names of endpoints with FlashBoot."""
    list_lag_s: float = 0.0
    """For how long a list does not show an endpoint that was just created."""
    hardware: Hardware = field(default_factory=Hardware.usual)
    images: dict[str, Image] = field(default_factory=dict[str, Image])
    endpoints: dict[str, Endpoint] = field(default_factory=dict[str, Endpoint])
    deleted: list[Endpoint] = field(default_factory=list[Endpoint])
    templates: dict[str, dict[str, Any]] = field(default_factory=dict[str, dict[str, Any]])
    registries: dict[str, dict[str, Any]] = field(default_factory=dict[str, dict[str, Any]])
    volumes: dict[str, dict[str, Any]] = field(default_factory=dict[str, dict[str, Any]])
    serial: int = 0

    def number(self, kind: str) -> str:
        """A new id."""
        self.serial += 1
        return f"{kind}{self.serial:09d}"

    def create(self, spec: dict[str, Any], fault: str | None = None) -> Endpoint:
        """A new endpoint; with a fault its workers never come up."""
        now, broken = self.clock.now(), fault if fault in FATES else ""
        endpoint = Endpoint(self.number("ep"), spec, now, changed=now, asked=now, broken=broken or "")
        endpoint.usd_per_second = self.hardware.usd_per_hour(spec) / 3600
        endpoint.releases.append(_release(endpoint, now, []))
        self.endpoints[endpoint.id] = endpoint
        self.settle(endpoint)
        return endpoint

    def change(self, endpoint: Endpoint, changes: dict[str, Any]) -> None:
        """Change the given fields; a change that containers see makes a new version."""
        now, diff = self.clock.now(), list[dict[str, Any]]()
        after = changed(endpoint.spec, changes)
        for name in changes:
            old, new = endpoint.spec.get(name), after.get(name)
            if old != new and name in CONTAINER:
                diff.append({"field": f"template.{name}", "old": old, "new": new})
            endpoint.spec[name] = new
        endpoint.usd_per_second = self.hardware.usd_per_hour(endpoint.spec) / 3600
        if diff:
            endpoint.version += 1
            endpoint.changed = now
            endpoint.releases.insert(0, _release(endpoint, now, diff))
        self.settle(endpoint)

    def listed(self) -> list[Endpoint]:
        """What a list shows, newest first."""
        since = self.clock.now() - self.list_lag_s
        fresh = [endpoint for endpoint in self.endpoints.values() if endpoint.created <= since]
        return sorted(fresh, key=lambda endpoint: (endpoint.created, endpoint.id), reverse=True)

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
        """Another worker: placed on a machine, its image pulled, booting."""
        now, spec = self.clock.now(), endpoint.spec
        endpoint.serial += 1
        known = self.images.get(spec.get("image", ""), Image(self.pull_s))
        boot_s = self.boot_s / 4 if spec.get("flashboot") == "FLASHBOOT" and endpoint.serial > 1 else self.boot_s
        pull_s = known.pull_s if endpoint.serial == 1 else 0.0  # its host keeps the image
        worker = Worker(f"{endpoint.id}w{endpoint.serial}", endpoint.version, spec.get("image", ""), now, now + pull_s + boot_s)
        endpoint.workers.append(worker)
        cpu_host = Host(data_center=next(iter(spec.get("dataCenterIds") or ()), "EU-RO-1"))
        host = next(self.hardware.hosts(spec["gpu"]), None) if "gpu" in spec else cpu_host
        if endpoint.broken == "stuck" or host is None:
            worker.throttled, worker.ready = True, math.inf
            worker.log.append((now, "waiting for capacity"))
            return worker
        worker.host = host
        self._boot(endpoint, worker, known)
        return worker

    def _boot(self, endpoint: Endpoint, worker: Worker, image: Image) -> None:
        """Its container starts, or logs why it does not."""
        now, env = self.clock.now(), endpoint.spec.get("env") or {}
        if image.missing:
            worker.ready = math.inf  # it is called initializing for as long as it is there
            worker.log.append((now, f"error pulling image {worker.image}: manifest unknown"))
            return
        why = trouble(image, worker.host, env)
        if endpoint.broken in {"unhealthy", "looping"}:
            why = "worker exited with exit code 1"
        if endpoint.broken == "looping":
            worker.ready, worker.eager = math.inf, True
            worker.log += [(now + 8 * number, f"start {number}: {why}") for number in range(1, 13)]
            return
        try:
            if not why:
                worker.program = self.boot(env)
                worker.log.append((now, "worker started"))
        except Exception as error:  # noqa: BLE001 whatever a container raises
            why = f"worker exited: {error}"
        if why:
            worker.unhealthy, worker.ready = True, math.inf
            worker.log.append((now, why))
        worker.sick_until = worker.ready + _WOBBLE_S if endpoint.broken == "wobbly" else 0.0
        worker.eager = endpoint.broken == "eager"

    def take(self, endpoint: Endpoint) -> Worker | None:
        """A worker that can answer now; otherwise one is started, if allowed."""
        endpoint.asked = self.clock.now()
        self.settle(endpoint)
        for worker in endpoint.active:
            if worker.answers(endpoint.asked):
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


def changed(spec: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Settings after a change. A selection of pools replaces the one before, with its exclusions; the rest is merged."""
    after = {**spec, **changes}
    if "workers" in changes:
        after["workers"] = {**spec["workers"], **changes["workers"]}
    if after["type"] == "QUEUE" and after["scaling"]["type"] == "REQUEST_COUNT" and "scaling" in changes:
        sent = "idleTimeout" in changes.get("workers", {})
        after["workers"] = {name: value for name, value in after["workers"].items() if name != "idleTimeout" or sent}
    if "gpu" in changes:
        before = dict(spec.get("gpu") or {})
        if "pools" in changes["gpu"]:
            before.pop("excludedTypes", None)
        after["gpu"] = {**before, **changes["gpu"]}
    return after


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
