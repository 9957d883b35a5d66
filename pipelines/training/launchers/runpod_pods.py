"""Creates a launch's pods one after the other, each exactly once, and ends every one of them for good."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from pipelines.job.launch_runpod import RunPodLaunch
from pipelines.training.launchers.runpod_meter import POD_LATER_S, Meter, Span
from pipelines.training.launchers.runpod_quote import Candidate
from registry.errors import ModelyardError, describe
from serving.targets.runpod.pod_shapes import NewPod, Pod, PodGpu
from serving.targets.runpod.pods import PodClient
from serving.targets.runpod.transport import ForbiddenError, LostReplyError, UnmetError
from serving.targets.waiting import Clock

PREFIX = "modelyard-train-"
DEADLINE = "MODELYARD_POD_DEADLINE"
AGENT = ["-P", "-m", "pipelines.training.launchers.pod_main"]
_POSTS = 3
_LATE_S = 60.0
"""A list may not show a pod that is this young."""
_SEARCH_S = 240.0
_END_S = 1800.0


@dataclass
class Placed:
    """A pod of ours. `deadline` is the client's, in seconds since 1970."""

    pod: Pod
    span: Span
    deadline: float


@dataclass
class PodPlacer:
    """One launch's pods: all of them have its nonce in their names. `env` is what the agent needs besides its deadline."""

    client: PodClient
    launch: RunPodLaunch
    clock: Clock
    meter: Meter
    nonce: str
    env: dict[str, str]
    say: Callable[[str], None]
    refusals: list[ModelyardError] = field(default_factory=list[ModelyardError])
    number: int = 0
    _lost_at: float | None = None

    def place(self, candidate: Candidate) -> Placed | None:
        """A pod of that kind, or None where RunPod has none or the key may not have one.

        Raises RefusedError without balance, DeniedError for a wrong key, and UnavailableError where RunPod does not answer.
        """
        self.number += 1
        span = self.meter.open(candidate.usd_per_hour, self.clock.now())
        try:
            pod, deadline = self._create(f"{PREFIX}{self.nonce}-{self.number}", candidate)
        except (UnmetError, ForbiddenError) as error:
            self.refusals.append(error)
            self._cancel(span)
            return None
        except ModelyardError as error:
            if not isinstance(error, LostReplyError):  # a lost one may exist: it is paid for until the sweep
                self._cancel(span)
            raise
        if pod.cost > span.usd_per_hour:  # what RunPod says of the pod is what it takes
            self.say(f"pod {pod.id} costs ${pod.cost}/h, not ${span.usd_per_hour} as in the catalogue")
            span.usd_per_hour = pod.cost
            deadline = min(deadline, self.clock.now() + self.meter.seconds_left(pod.cost))
        return Placed(pod, span, deadline)

    def end(self, placed: Placed) -> bool:
        """End a pod, whatever RunPod answers meanwhile; False where it could not be done in half an hour."""
        if ended := self._end(placed.pod.id):
            self.meter.close(placed.span)
        return ended

    def sweep(self) -> None:
        """End what a lost answer may have left. Nothing to do where every answer came."""
        if self._lost_at is None:
            return
        until = self.clock.now() + _SEARCH_S
        while self.clock.now() < until:
            if (wait := self._lost_at + _LATE_S - self.clock.now()) > 0:
                self.clock.sleep(wait)
            try:
                mine = [pod for pod in self.client.pods() if pod.name.startswith(f"{PREFIX}{self.nonce}-")]
            except ModelyardError:
                self.clock.sleep(15.0)
                continue
            ended = [self._end(pod.id) for pod in mine]
            if all(ended):
                for span in self.meter.spans:
                    if span.until is None:
                        self.meter.close(span)
            return
        self.say("RunPod does not list its pods; one that a lost answer left ends itself, see `modelyard reconcile`")

    def _cancel(self, span: Span) -> None:
        self.meter.spans.remove(span)

    def _create(self, name: str, candidate: Candidate) -> tuple[Pod, float]:
        """Create it exactly once: after a lost answer it is looked for, until it would be listed if it were there."""
        for posted in range(1, _POSTS + 1):
            deadline = self.clock.now() + self.meter.seconds_left(candidate.usd_per_hour)
            try:
                return self.client.create_pod(self._new(name, candidate, deadline)), deadline
            except LostReplyError:
                self._lost_at = self.clock.now()
                if pod := self._search(name):
                    return pod, deadline
                if posted == _POSTS:
                    raise
        raise AssertionError

    def _search(self, name: str) -> Pod | None:
        """The pod of that name; None once a list is complete that would show it. Raises LostReplyError without such a list."""
        lost, pause = self.clock.now(), 3.0
        while self.clock.now() - lost < _SEARCH_S:
            asked = self.clock.now()
            try:
                pods = self.client.pods_named(name)
            except ModelyardError:
                pods, asked = [], lost
            for twin in pods[1:]:
                self._end(twin.id)
            if pods:
                return pods[0]
            if asked - lost > _LATE_S:
                return None
            self.clock.sleep(pause)
            pause = min(pause * 2, 30.0)
        raise LostReplyError("RunPod", f"says neither that pod {name} exists nor that it does not", "try again later")

    def _end(self, number: str) -> bool:
        began, pause = self.clock.now(), 3.0
        while True:
            try:
                self.client.terminate_pod(number)
            except ModelyardError as error:
                if self.clock.now() - began > _END_S:
                    self.say(f"pod {number} could not be ended ({describe(error)}): it ends itself; see RunPod's console")
                    return False
            else:
                return True
            self.clock.sleep(pause)
            pause = min(pause * 2, 30.0)

    def _new(self, name: str, candidate: Candidate, deadline: float) -> NewPod:
        launch = self.launch
        return NewPod(
            name=name,
            image=launch.image,
            gpu=PodGpu(id=candidate.gpu, count=launch.gpu_count, min_cuda_version=launch.min_cuda),
            cloud="SECURE" if launch.cloud == "secure" else "COMMUNITY",
            disk=launch.disk_gb,
            ports=["8000/http"],
            env=self.env | {DEADLINE: f"{deadline + POD_LATER_S:.0f}"},
            entrypoint=["python"],
            cmd=AGENT,
            data_center_ids=[candidate.data_center] if candidate.data_center else None,
            registry=launch.registry,
        )
