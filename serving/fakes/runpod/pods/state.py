"""Pods over time: placed, pulling, running, gone; each second from its creation to its end is billed.

Nothing runs in the background but what a container runs itself: `settle` brings every pod to the current time.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from serving.fakes.clock import VirtualClock, begun
from serving.fakes.plain import Answer, Ask

_HOUR_S = 3600.0


class Container(Protocol):
    """What a pod runs, once its image is there."""

    @property
    def ended(self) -> bool:
        """Whether it has exited by itself."""
        ...

    def ask(self, ask: Ask) -> Answer:
        """A request to its port."""
        ...

    def tick(self) -> None:
        """Time has passed."""
        ...

    def kill(self) -> None:
        """End it now."""
        ...


Boot = Callable[[Mapping[str, str], list[str]], Container]
"""Starts a container from its environment and its command."""


@dataclass(frozen=True)
class GpuOffer:
    """A GPU of the catalogue: memory in GB, US dollars an hour in both clouds (0: not offered), and its stock."""

    memory: int
    secure: float
    community: float
    stock: str = "HIGH"


OFFERS = {
    "NVIDIA A40": GpuOffer(48, 0.44, 0.35, "LOW"),
    "NVIDIA RTX A4000": GpuOffer(16, 0.25, 0.17),
    "NVIDIA GeForce RTX 4090": GpuOffer(24, 0.74, 0.34),
    "NVIDIA H100 80GB HBM3": GpuOffer(80, 3.99, 2.69, "MEDIUM"),
    "NVIDIA L4": GpuOffer(24, 0.43, 0.0, "NONE"),
}
"""Example prices."""
CPU_USD = 0.03
FATES = frozenset({"bad-host", "error", "dies"})
"""bad-host: its image never arrives. error: its container cannot start. dies: its host fails some time after the start."""


@dataclass
class SimPod:
    """One pod."""

    id: str
    spec: dict[str, Any]
    created: float
    usd_per_hour: float
    ready: float
    fate: str = ""
    dies: float = 0.0
    eager: bool = False
    """RUNNING is said as soon as it is placed, while its image is still pulled."""
    container: Container | None = None
    ended: float | None = None
    failed: bool = False

    def status(self, now: float, placed_s: float) -> str:
        """In RunPod's words."""
        if self.ended is not None:
            return "TERMINATED"
        if self.failed:
            return "ERROR" if self.fate == "error" else "EXITED"
        if now < self.created + placed_s:
            return "PROVISIONING"
        return "RUNNING" if self.eager or self.container else "STARTING"

    def billed(self, now: float) -> float:
        """US dollars until now. One whose container has ended goes on costing until it is terminated."""
        return begun((now if self.ended is None else self.ended) - self.created) * self.usd_per_hour / _HOUR_S


@dataclass
class PodCloud:
    """An account's pods and secrets."""

    clock: VirtualClock
    boot: Boot
    offers: dict[str, GpuOffer] = field(default_factory=lambda: dict(OFFERS))
    balance: float = 100.0
    placed_s: float = 4.0
    pull_s: tuple[float, float] = (28.0, 165.0)
    list_lag_s: float = 0.0
    """For how long a list may not show a pod that was just created, or still show one that is gone."""
    seed: int = 0
    pods: dict[str, SimPod] = field(default_factory=dict[str, SimPod])
    gone: list[SimPod] = field(default_factory=list[SimPod])
    secrets: dict[str, dict[str, Any]] = field(default_factory=dict[str, dict[str, Any]])
    volumes: dict[str, dict[str, Any]] = field(default_factory=dict[str, dict[str, Any]])
    most_alive: int = 0
    serial: int = 0
    _settling: bool = False

    def __post_init__(self) -> None:
        """What differs from pod to pod is drawn from the seed."""
        self.random = random.Random(self.seed)  # noqa: S311 not for secrets

    def number(self, kind: str) -> str:
        """A new id."""
        self.serial += 1
        return f"{kind}{self.serial:09d}"

    def create(self, spec: dict[str, Any], usd_per_hour: float, fate: str = "") -> SimPod:
        """A new pod, billed from now on."""
        now, draw = self.clock.now(), self.random
        ready = now + self.placed_s + draw.uniform(*self.pull_s)
        dies = ready + draw.expovariate(1 / 300.0)
        pod = SimPod(self.number("pod"), spec, now, usd_per_hour, ready, fate, dies, eager=draw.random() < 0.5)  # noqa: PLR2004
        self.pods[pod.id] = pod
        self.most_alive = max(self.most_alive, len(self.pods))
        return pod

    def terminate(self, pod: SimPod) -> None:
        """It ends, with its disk and its container."""
        pod.ended = self.clock.now()
        self.balance -= pod.billed(pod.ended)
        if pod.container:
            pod.container.kill()
        self.gone.append(self.pods.pop(pod.id))

    def settle(self) -> None:
        """Bring every pod to the current time; a container may end its own pod meanwhile."""
        if self._settling:
            return
        self._settling = True
        try:
            for pod in list(self.pods.values()):
                self._settle(pod)
        finally:
            self._settling = False

    def advance(self, seconds: float, step: float = 10.0) -> None:
        """Let time pass in steps, so that what containers do by the clock they do in time."""
        while seconds > 0:
            self.clock.advance(min(step, seconds))
            seconds -= step
            self.settle()

    def listed(self) -> Iterator[SimPod]:
        """What a list shows, newest first."""
        since = self.clock.now() - self.list_lag_s
        fresh = [pod for pod in self.pods.values() if pod.created <= since]
        for pod in reversed(self.gone):
            if pod.ended is not None and pod.ended <= since:
                break
            fresh.append(pod)
        yield from sorted(fresh, key=lambda pod: (pod.created, pod.id), reverse=True)

    def spent(self, prefix: str = "") -> float:
        """US dollars for all pods whose name begins so."""
        now = self.clock.now()
        every = [*self.pods.values(), *self.gone]
        return sum(pod.billed(now) for pod in every if pod.spec["name"].startswith(prefix))

    def leaks(self) -> list[str]:
        """Pods that still cost, and secrets that are still kept."""
        self.settle()
        return [*(pod.spec["name"] for pod in self.pods.values()), *(secret["name"] for secret in self.secrets.values())]

    def _settle(self, pod: SimPod) -> None:
        now = self.clock.now()
        if pod.container is None and not pod.failed and now >= pod.ready and pod.fate != "bad-host":
            if pod.fate == "error":
                pod.failed = True
                return
            pod.container = self.boot(self._environment(pod), [*pod.spec.get("entrypoint", ()), *pod.spec.get("cmd", ())])
        if pod.container is None or pod.failed:
            return
        if pod.fate == "dies" and now >= pod.dies:
            pod.container.kill()
            pod.failed = True
            return
        pod.container.tick()
        pod.failed = pod.container.ended

    def _environment(self, pod: SimPod) -> dict[str, str]:
        """What its container sees: secrets are filled in at boot, and it gets a key of its own."""
        values = {f"{{{{ RUNPOD_SECRET_{secret['name']} }}}}": secret["value"] for secret in self.secrets.values()}
        env = {name: values.get(value, value) for name, value in (pod.spec.get("env") or {}).items()}
        return env | {"RUNPOD_POD_ID": pod.id, "RUNPOD_API_KEY": scoped_key(pod.id)}


class Silence:
    """A container that runs and answers nothing."""

    ended = False

    def ask(self, ask: Ask) -> Answer:  # noqa: ARG002
        """502."""
        return Answer(502)

    def tick(self) -> None:
        """Nothing to do."""

    def kill(self) -> None:
        """Nothing to end."""


def nothing(_: Mapping[str, str], __: list[str]) -> Container:
    """Boots what answers nothing: for an account that is asked about other things."""
    return Silence()


def scoped_key(pod_id: str) -> str:
    """The key that a pod's container is given."""
    return f"rpa_scoped_{pod_id}"
