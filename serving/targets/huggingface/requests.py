"""Asking an endpoint at Hugging Face as a client does: at its own address, where the proxy holds a request while it sleeps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import httpx

from registry.errors import UnavailableError
from serving.targets.huggingface.release_spec import is_custom
from serving.targets.refusals import json_of, refusal
from serving.targets.waiting import Clock, tls

if TYPE_CHECKING:
    from collections.abc import Mapping

    from huggingface_hub import InferenceEndpoint

_TIMEOUT_S = 60.0
_SCALE_UP_S = "600"
_WAITING = {429, 500, 502, 503, 504}


@dataclass(frozen=True)
class EndpointClient:
    """One endpoint that runs, or sleeps. `name` is ours."""

    endpoint: InferenceEndpoint
    name: str
    headers: Mapping[str, str]
    clock: Clock
    seconds: float

    def ask(self, image: bytes) -> dict[str, float]:
        """An image file's bytes → each class's probability."""
        address = f"{self.endpoint.url}/predict" if is_custom(self.endpoint.raw) else str(self.endpoint.url)
        headers = {**self.headers, "Content-Type": content_type_of(image), "X-Scale-Up-Timeout": _SCALE_UP_S}
        status = "no answer"
        for _ in self.clock.poll(self.seconds, pause=2.0):
            try:
                answer = httpx.post(
                    address, content=image, headers=headers, timeout=min(_TIMEOUT_S, self.seconds), verify=tls()
                )
            except httpx.HTTPError as error:
                status = type(error).__name__
                continue
            status = str(answer.status_code)
            if answer.status_code == httpx.codes.OK:
                return probabilities_of(json_of(answer, self.name), self.name)
            if answer.status_code not in _WAITING:
                raise refusal(self.name, answer)
        raise UnavailableError(f"endpoint {self.name}", f"did not answer ({status})", "see `modelyard endpoint logs`")


def content_type_of(image: bytes) -> str:
    """An image file's content type."""
    return "image/png" if image.startswith(b"\x89PNG") else "image/jpeg"


def probabilities_of(answer: Any, name: str) -> dict[str, float]:
    """Of our server's answer, or of what Hugging Face's own classifiers answer."""
    try:
        if isinstance(answer, dict):
            return {str(label): float(value) for label, value in answer["probabilities"].items()}
        scores = sorted((float(item["score"]), str(item["label"])) for item in answer)
        return {label: score for score, label in scores}  # a detector's label may come several times: the best one stays
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UnavailableError(f"endpoint {name}", "answered without scores", "see `modelyard endpoint logs`") from error
