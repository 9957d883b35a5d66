"""A pod that ends itself: at its deadline, and when nobody has asked it anything for too long.

The client that started the pod may be killed, and a pod that nobody watches costs money for ever. So the pod holds a key
that may delete it, and finds out before it trains whether that key works.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from registry.errors import DeniedError, ModelyardError, describe

_AGAIN_S = 10.0
_DENIALS = 3
"""So many in a row are RunPod's word; fewer may be the network's in front of it."""


class Pods(Protocol):
    """What a pod needs of RunPod's API."""

    def pod(self, number: str) -> object:
        """Read a pod. Raises DeniedError where the key may not."""
        ...

    def terminate_pod(self, number: str) -> None:
        """End a pod; one that is not there is fine. Raises DeniedError where the key may not."""
        ...


@dataclass
class Switch:
    """Deletes the pod `number` when its time is over.

    `deadline` is in seconds since 1970; `silence_s` is how long nobody may ask it anything.
    """

    pods: Pods
    number: str
    deadline: float
    silence_s: float
    now: Callable[[], float]
    protected: bool | None = None
    """Whether its key may end it; None until RunPod has answered."""
    why_not: str = ""

    def __post_init__(self) -> None:
        """The pod was asked for just now."""
        self._heard, self._next, self._denied = self.now(), 0.0, 0

    def contact(self) -> None:
        """Somebody asked."""
        self._heard = self.now()

    def bring_forward(self, deadline: float) -> None:
        """An earlier end; a later one is never taken."""
        self.deadline = min(self.deadline, deadline)

    @property
    def due(self) -> str:
        """Why the pod has to end now; "" while it has not."""
        now = self.now()
        if now >= self.deadline:
            return "its time is over"
        if now >= self._heard + self.silence_s:
            return f"nobody asked it anything for {self.silence_s:.0f} s"
        return ""

    def tick(self) -> None:
        """Check the key while that is not known, and end the pod when it is due, again and again until it works."""
        now = self.now()
        if now < self._next:
            return
        if self.due:
            self._next = now + _AGAIN_S
            self._end()
        elif self.protected is None:
            self._next = now + _AGAIN_S
            self._probe()

    def _end(self) -> None:
        try:
            self.pods.terminate_pod(self.number)
        except ModelyardError as error:
            self.why_not = describe(error)

    def _probe(self) -> None:
        """Whether the key reads this pod, and may delete: it asks for a pod that there is none of."""
        try:
            self.pods.pod(self.number)
            self.pods.terminate_pod(f"{self.number}x0")
        except DeniedError as error:
            self._denied += 1
            self.protected, self.why_not = False if self._denied >= _DENIALS else None, describe(error)
        except ModelyardError as error:
            self.why_not = describe(error)
        else:
            self.protected, self.why_not = True, ""
