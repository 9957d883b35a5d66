"""Whether RunPod would accept a request: by its published OpenAPI document if given, and always by our own rules."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

_CONTAINER = {"image": str, "env": dict, "args": str, "disk": int, "ports": list, "registry": (str, type(None))}
_ENDPOINT = _CONTAINER | {
    "name": str,
    "gpu": dict,
    "cpu": list,
    "workers": dict,
    "scaling": dict,
    "timeout": int,
    "flashboot": str,
    "dataCenterIds": list,
    "networkVolumes": list,
    "templateId": str,
}
_TEMPLATE = _CONTAINER | {
    "name": str,
    "allowedCudaVersions": list,
    "category": str,
    "mounts": dict,
    "public": bool,
    "serverless": bool,
    "startJupyter": bool,
    "startSsh": bool,
}
FIELDS: dict[str, dict[str, Any]] = {
    "CreateEndpointRequest": _ENDPOINT | {"type": str},
    "UpdateEndpointRequest": _ENDPOINT,
    "CreateTemplateRequest": _TEMPLATE,
    "CreateRegistryRequest": {"name": str, "username": str, "password": str},
}
_REQUIRED = {
    "CreateEndpointRequest": ("name", "type", "scaling"),
    "CreateTemplateRequest": ("name", "image"),
    "CreateRegistryRequest": ("name", "username", "password"),
}
_INNER = {
    "workers": {"min", "max", "idleTimeout"},
    "gpu": {"pools", "count", "excludedTypes", "allowedCudaVersions", "minCudaVersion"},
    "scaling": {"type", "queueDelay", "requestCount"},
}
_CHOICES = {"type": ("QUEUE", "LOAD_BALANCER"), "flashboot": ("OFF", "FLASHBOOT", "PRIORITY_FLASHBOOT")}


class Checker:
    """Finds what is wrong with requests, and with our own answers."""

    def __init__(self, spec: Path | None = None) -> None:
        """With the OpenAPI document at `spec`, everything is checked against it, too."""
        self._document: dict[str, Any] = json.loads(spec.read_text()) if spec else {}
        self._validators: dict[str, Any] = {}

    def request(self, schema: str, body: Any) -> list[str]:
        """Problems of a body, a line each."""
        if not isinstance(body, dict):
            return ["the body is not an object"]
        return [*_by_hand(schema, body), *self.by_document(schema, body)]

    def by_document(self, schema: str, value: Any) -> list[str]:
        """Problems of a value by the published document."""
        if not self._document:
            return []
        if schema not in self._validators:
            from jsonschema import Draft202012Validator

            root = {"$ref": f"#/components/schemas/{schema}", "components": self._document["components"]}
            self._validators[schema] = Draft202012Validator(root)
        errors = self._validators[schema].iter_errors(value)
        return [f"{'/'.join(map(str, error.absolute_path)) or 'body'}: {error.message[:200]}" for error in errors]


def _by_hand(schema: str, body: dict[str, Any]) -> Iterator[str]:
    fields = FIELDS[schema]
    yield from (f"{name}: is required" for name in _REQUIRED.get(schema, ()) if name not in body)
    for name, value in body.items():
        if name not in fields:
            yield f"{name}: is not known"
        elif not isinstance(value, fields[name]) or (fields[name] is int and isinstance(value, bool)):
            yield f"{name}: is of another type"
        elif value not in _CHOICES.get(name, (value,)):
            yield f"{name}: is none of {', '.join(_CHOICES[name])}"
        elif name in _INNER:
            yield from (f"{name}/{inner}: is not known" for inner in value.keys() - _INNER[name])
    if schema == "CreateEndpointRequest" and not ({"image", "templateId"} & body.keys()):
        yield "image: is required without templateId"
    scaling, kind = body.get("scaling") or {}, body.get("type")
    if kind == "LOAD_BALANCER" and scaling.get("type") != "REQUEST_COUNT":
        yield "scaling: a load balancer scales by REQUEST_COUNT"
    idle = "idleTimeout" in (body.get("workers") or {})
    if kind == "QUEUE" and scaling.get("type") == "REQUEST_COUNT" and idle:
        yield "workers/idleTimeout: does not go with a queue that scales by REQUEST_COUNT"
