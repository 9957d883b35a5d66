"""What an endpoint serves, written into its container's environment, and the name that it has at Hugging Face."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from registry.digests import sha256_bytes
from registry.refs import NEXT_SUFFIX
from serving.targets.undo import not_ours

if TYPE_CHECKING:
    from huggingface_hub import InferenceEndpoint

PREFIX = "my-"
_LONGEST = 32 - len(PREFIX) - len(NEXT_SUFFIX)


@dataclass(frozen=True)
class Release:
    """A bundle, at a commit."""

    model: str
    version: int
    bundle: str
    revision: str

    def env(self, name: str, before: str | None, *, gpu: bool = False) -> dict[str, str]:
        """The environment of an endpoint's container. With a GPU it serves on that or says that it cannot."""
        env = {"MODELYARD_NAME": name, "MODELYARD_MODEL": self.model, "MODELYARD_VERSION": str(self.version)}
        env |= {"MODELYARD_BUNDLE": self.bundle, "MODELYARD_NO_KEY": "1"}  # Hugging Face asks, unless `access` is public
        if gpu:
            env["MODELYARD_DEVICE"] = "cuda"
        return env | ({"MODELYARD_BEFORE": before} if before else {})


def release_of(endpoint: InferenceEndpoint) -> Release | None:
    """What an endpoint serves; None for one that is not ours."""
    env = env_of(endpoint)
    try:
        return Release(env["MODELYARD_MODEL"], int(env["MODELYARD_VERSION"]), env["MODELYARD_BUNDLE"], str(endpoint.revision))
    except (KeyError, ValueError):
        return None


def check_ours(endpoint: InferenceEndpoint) -> None:
    """Raise RefusedError for an endpoint that is not ours."""
    if release_of(endpoint) is None:
        raise not_ours(endpoint.name, "Hugging Face")


def slug_of(name: str) -> str:
    """A name that Hugging Face takes: lower case, letters, digits and hyphens, 32 at most, and another for each name."""
    plain = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
    if plain == name and len(plain) <= _LONGEST:
        return PREFIX + plain
    return f"{PREFIX}{plain[: _LONGEST - 7].rstrip('-')}-{sha256_bytes(name.encode())[:6]}"


def env_of(endpoint: InferenceEndpoint) -> dict[str, str]:
    """The environment of an endpoint's container."""
    return endpoint.raw["model"].get("env") or {}
