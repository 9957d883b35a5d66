"""Whether Hugging Face would accept a request for an endpoint, by our own rules."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

_COMPUTE = {"accelerator", "instanceSize", "instanceType", "scaling"}
_SCALING = {"minReplica", "maxReplica", "scaleToZeroTimeout", "measure"}
_MODEL = {"framework", "repository", "revision", "task", "image", "env", "secrets", "command", "args"}
_CUSTOM = {"url", "port", "healthRoute", "credentials"}
_TOP = {"compute", "model", "name", "provider", "type", "tags", "route", "cacheHttpResponses", "privateService"}


def problems(body: dict[str, Any], *, new: bool) -> Iterator[str]:
    """Why Hugging Face would reject a request."""
    yield from (f"unknown field {name}" for name in body.keys() - _TOP)
    compute, model = body.get("compute") or {}, body.get("model") or {}
    yield from (f"unknown field compute.{name}" for name in compute.keys() - _COMPUTE)
    yield from (f"unknown field compute.scaling.{name}" for name in (compute.get("scaling") or {}).keys() - _SCALING)
    yield from (f"unknown field model.{name}" for name in model.keys() - _MODEL)
    custom = (model.get("image") or {}).get("custom") or {}
    yield from (f"unknown field model.image.custom.{name}" for name in custom.keys() - _CUSTOM)
    if new:
        yield from (f"missing field {name}" for name in ("compute", "model", "name", "provider", "type") if name not in body)
        name = str(body.get("name", ""))
        if not 0 < len(name) <= 32 or not name.replace("-", "").isalnum() or name != name.lower():  # noqa: PLR2004
            yield f"invalid name '{name}'"
