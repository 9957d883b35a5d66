"""How an endpoint is wanted, as it is told to Hugging Face; how it is now, told the same way."""

from __future__ import annotations

from typing import Any

from registry.errors import InputError, RefusedError
from serving.targets.huggingface.config import HuggingFaceDeploy
from serving.targets.huggingface.release import Release, told_of

_PORT = 8000
Told = dict[str, Any]


def wanted(config: HuggingFaceDeploy, name: str, release: Release, before: str | None) -> Told:
    """What an update sends: all of it, because what is left out stays as it was."""
    scaling = {"minReplica": config.min_replicas, "maxReplica": config.max_replicas}
    return {
        "compute": {
            "accelerator": config.accelerator,
            "instanceType": config.instance,
            "instanceSize": config.size,
            "scaling": scaling | {"scaleToZeroTimeout": None if config.min_replicas else config.sleep_minutes},
        },
        "model": {
            "repository": config.repository,
            "revision": release.revision,
            "image": image_of(config) or {"huggingface": {}},
            "env": told_of(name, release, before, gpu=config.accelerator == "gpu"),
        },
    }


def image_of(config: HuggingFaceDeploy) -> Told | None:
    """Our HTTP server, where that is wanted: it finds the repository at /repository."""
    if config.image is None:
        return None
    return {"custom": {"url": config.image, "port": _PORT, "healthRoute": "/health"}}


def as_it_was(raw: Told) -> Told:
    """What brings an endpoint back to how it is now."""
    compute, model = raw["compute"], raw["model"]
    scaling = {name: compute["scaling"].get(name) for name in ("minReplica", "maxReplica", "scaleToZeroTimeout")}
    kept = {name: compute[name] for name in ("accelerator", "instanceType", "instanceSize") if name in compute}
    told = {name: model[name] for name in ("repository", "revision", "image", "env") if name in model}
    return {"compute": kept | {"scaling": scaling}, "model": told}


def holds(raw: Told, told: Told) -> bool:
    """Whether an endpoint already is as it is wanted."""
    now = as_it_was(raw)
    image, new = now["model"].pop("image", {}), told["model"]["image"]
    same_image = (image.get("custom") or {}).get("url") == (new.get("custom") or {}).get("url")
    rest = {name: value for name, value in told["model"].items() if name != "image"}
    return same_image and now["model"] == rest and now["compute"] == told["compute"]


def is_custom(raw: Told) -> bool:
    """Whether our HTTP server runs there, and not our handler."""
    return "custom" in (raw["model"].get("image") or {})


def check_may_become(raw: Told, config: HuggingFaceDeploy, name: str) -> None:
    """Raise InputError where Hugging Face cannot change an endpoint so, RefusedError where somebody paused it."""
    place = raw.get("provider") or {}
    for what, value in (("vendor", config.vendor), ("region", config.region)):
        if place.get(what) not in {None, value}:
            remedy = "delete it first (archive the version), or leave it there"
            raise InputError(f"endpoint {name}", f"is at {place[what]} and cannot move to {value}", remedy)
    if (raw.get("status") or {}).get("state") == "paused":
        raise RefusedError(f"endpoint {name}", "was paused by somebody", "resume it in Hugging Face's console, or delete it")
