"""What an endpoint serves, its name, and what it answers, in Hugging Face's terms."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from registry.digests import sha256_bytes
from registry.errors import UnavailableError
from serving.targets.undo import NEXT

if TYPE_CHECKING:
    from huggingface_hub import InferenceEndpoint

PREFIX = "my-"
_LONGEST = 32 - len(PREFIX) - len(NEXT)


@dataclass(frozen=True)
class Release:
    """A bundle, at a commit."""

    model: str
    version: int
    bundle: str
    revision: str


def slug_of(name: str) -> str:
    """A name that Hugging Face takes: lower case, letters, digits and hyphens, 32 at most, and another for each name."""
    plain = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
    if plain == name and len(plain) <= _LONGEST:
        return PREFIX + plain
    return f"{PREFIX}{plain[: _LONGEST - 7].rstrip('-')}-{sha256_bytes(name.encode())[:6]}"


def told_of(name: str, release: Release, before: str | None, *, gpu: bool = False) -> dict[str, str]:
    """A release as the environment of an endpoint's container. With a GPU it serves on that or says that it cannot."""
    told = {"MODELYARD_NAME": name, "MODELYARD_MODEL": release.model, "MODELYARD_VERSION": str(release.version)}
    told["MODELYARD_BUNDLE"] = release.bundle
    if gpu:
        told["MODELYARD_DEVICE"] = "cuda"
    return told | ({"MODELYARD_BEFORE": before} if before else {})


def env_of(one: InferenceEndpoint) -> dict[str, str]:
    """What an endpoint's container was told."""
    return one.raw["model"].get("env") or {}


def kind_of(image: bytes) -> str:
    """An image file's content type."""
    return "image/png" if image.startswith(b"\x89PNG") else "image/jpeg"


def probabilities_of(told: Any, name: str) -> dict[str, float]:
    """Of our server's answer, or of what Hugging Face's own classifiers answer."""
    try:
        if isinstance(told, dict):
            return {str(label): float(value) for label, value in told["probabilities"].items()}
        scores = sorted((float(one["score"]), str(one["label"])) for one in told)
        return {label: score for score, label in scores}  # a detector's label may come several times: the best one stays
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UnavailableError(f"endpoint {name}", "answered without scores", "see `modelyard endpoint logs`") from error
