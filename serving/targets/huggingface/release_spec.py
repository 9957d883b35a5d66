"""The settings that an endpoint at Hugging Face should have, and those that it has, in the same form."""

from __future__ import annotations

from typing import Any

from registry.errors import InputError, RefusedError
from serving.targets.huggingface.config import HuggingFaceDeploy
from serving.targets.huggingface.release import Release

_PORT = 8000
Spec = dict[str, Any]
_ACCESS = {"authenticated": "authenticated", "protected": "authenticated", "public": "public", "private": "private"}
"""Hugging Face's words for who may ask; one of them has an older name too."""


def endpoint_spec(config: HuggingFaceDeploy, name: str, release: Release, before: str | None) -> Spec:
    """The body of an update: every setting, because omitted ones stay as they are."""
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
            "env": release.env(name, before, gpu=config.accelerator == "gpu"),
        },
    }


def image_of(config: HuggingFaceDeploy) -> Spec | None:
    """Our HTTP server, if configured: it finds the repository at /repository."""
    if config.image is None:
        return None
    return {"custom": {"url": config.image, "port": _PORT, "healthRoute": "/health"}}


def current_spec(raw: Spec) -> Spec:
    """The settings that restore an endpoint's current state."""
    compute, model = raw["compute"], raw["model"]
    scaling = {name: compute["scaling"].get(name) for name in ("minReplica", "maxReplica", "scaleToZeroTimeout")}
    kept = {name: compute[name] for name in ("accelerator", "instanceType", "instanceSize") if name in compute}
    settings = {name: model[name] for name in ("repository", "revision", "image", "env") if name in model}
    return {"compute": kept | {"scaling": scaling}, "model": settings}


def matches_spec(raw: Spec, spec: Spec) -> bool:
    """Whether an endpoint already has these settings."""
    now = current_spec(raw)
    image, new = now["model"].pop("image", {}), spec["model"]["image"]
    same_image = (image.get("custom") or {}).get("url") == (new.get("custom") or {}).get("url")
    rest = {name: value for name, value in spec["model"].items() if name != "image"}
    return same_image and now["model"] == rest and now["compute"] == spec["compute"]


def is_custom(raw: Spec) -> bool:
    """Whether the endpoint runs our HTTP server instead of our handler."""
    return "custom" in (raw["model"].get("image") or {})


def check_can_update(raw: Spec, config: HuggingFaceDeploy, name: str) -> None:
    """Raise InputError if Hugging Face cannot apply this change, RefusedError if the endpoint is paused."""
    provider = raw.get("provider") or {}
    for what, value in (("vendor", config.vendor), ("region", config.region)):
        if provider.get(what) not in {None, value}:
            remedy = "delete it first (archive the version), or leave it there"
            raise InputError(f"endpoint {name}", f"is at {provider[what]} and cannot move to {value}", remedy)
    access = _ACCESS.get(str(raw.get("type")))
    if access not in {None, config.access}:
        remedy = "delete it first (archive the version), or leave `access` as it is"
        raise InputError(f"endpoint {name}", f"has {access} access and cannot change to {config.access}", remedy)
    if (raw.get("status") or {}).get("state") == "paused":
        raise RefusedError(f"endpoint {name}", "is paused", "resume it in Hugging Face's console, or delete it")
