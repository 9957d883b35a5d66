"""The last of three ceilings: pods of ours that are past their deadline are ended, whoever started them and wherever."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from pipelines.training.launchers.runpod_meter import POD_LATER_S, REAPER_LATER_S
from pipelines.training.launchers.runpod_pods import DEADLINE, PREFIX
from pipelines.training.launchers.runpod_secret import expires
from registry.errors import ModelyardError, describe
from serving.targets.runpod.pod_shapes import Pod
from serving.targets.runpod.pods import PodClient
from serving.targets.runpod.transport import ForbiddenError

_EVERY_S = 60.0
_TOKENS_EVERY_S = 3600.0


@dataclass
class Reaper:
    """Looks once a minute at most: RunPod allows some sixty requests in one."""

    client: PodClient
    now: Callable[[], float]
    _next: float = 0.0
    _next_tokens: float = 0.0

    def reap(self) -> list[str]:
        """End what is past its deadline; a sentence for each. A pod without a deadline of ours is left alone.

        Raises UnavailableError where RunPod does not answer, after ending what it could.
        """
        now = self.now()
        if now < self._next:
            return []
        self._next = now + _EVERY_S
        try:
            pods = self.client.pods()
        except ForbiddenError:
            return []  # a key that may not see pods has started none
        lines = [self._end(pod) for pod in pods if is_overdue(pod, now)]
        if now >= self._next_tokens:
            self._next_tokens = now + _TOKENS_EVERY_S
            self._forget_tokens(now)
        return lines

    def _end(self, pod: Pod) -> str:
        try:
            self.client.terminate_pod(pod.id)
        except ModelyardError as error:
            return f"pod {pod.name} is past its deadline and could not be ended: {describe(error)}"
        return f"pod {pod.name} was past its deadline and is ended (${pod.cost}/h)"

    def _forget_tokens(self, now: float) -> None:
        """Tokens of launches that were killed. A key that may not see secrets has kept none."""
        try:
            for secret in self.client.secrets():
                if (until := expires(secret)) is not None and until < now:
                    self.client.delete_secret(secret.id)
        except ForbiddenError:
            return


def is_overdue(pod: Pod, now: float) -> bool:
    """Whether a pod is of ours, and should have ended itself by now."""
    deadline = pod.env.get(DEADLINE, "")
    ours = pod.name.startswith(PREFIX) and deadline.isdigit() and pod.status != "TERMINATED"
    return ours and now >= int(deadline) - POD_LATER_S + REAPER_LATER_S
