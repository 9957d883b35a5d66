"""What RunPod's published document says of request bodies, in our own words: whatever breaks it is 422.

Rules between fields, and of what the account holds, are in `rules`.
"""

from __future__ import annotations

from typing import Any

Schema = dict[str, Any]
TEXT: Schema = {"type": "string"}
NAME: Schema = {"type": "string", "minLength": 1}
FLAG: Schema = {"type": "boolean"}
_TEXTS: Schema = {"type": "array", "items": TEXT}
_CUDA: Schema = {"type": "string", "pattern": r"^\d+\.\d+$"}


def whole(least: int, most: int | None = None) -> Schema:
    """A whole number."""
    return {"type": "integer", "minimum": least} | ({} if most is None else {"maximum": most})


def fields(properties: dict[str, Schema], *required: str) -> Schema:
    """An object with these fields and no others."""
    return {"type": "object", "properties": properties, "required": list(required), "additionalProperties": False}


_CONTAINER: dict[str, Schema] = {
    "image": NAME,
    "env": {"type": "object", "additionalProperties": TEXT},
    "args": TEXT,
    "entrypoint": _TEXTS,
    "cmd": _TEXTS,
    "disk": whole(1),
    "ports": {"type": "array", "items": {"type": "string", "pattern": r"^\d{1,5}/(http|tcp)$"}},
    "registry": {"type": ["string", "null"]},
}
_GPU: dict[str, Schema] = {
    "pools": {"type": "array", "minItems": 1, "items": TEXT},
    "excludedTypes": {"type": "array", "uniqueItems": True, "items": {"type": "string", "pattern": r"^\s*[^-\s]"}},
    "count": whole(1),
    "allowedCudaVersions": {"type": "array", "items": _CUDA},
    "minCudaVersion": _CUDA,
}
_CPU = fields({"id": NAME, "vcpuCount": whole(2)}, "id", "vcpuCount")
_BY_DELAY = fields({"type": {"const": "QUEUE_DELAY"}, "queueDelay": {"type": "number", "minimum": 0.5}}, "type", "queueDelay")
_BY_COUNT = fields({"type": {"const": "REQUEST_COUNT"}, "requestCount": whole(1)}, "type", "requestCount")
_ENDPOINT: dict[str, Schema] = _CONTAINER | {
    "name": NAME,
    "gpu": fields(_GPU, "pools"),
    "cpu": {"type": "array", "minItems": 1, "uniqueItems": True, "items": _CPU},
    "workers": fields({"min": whole(0), "max": whole(0), "idleTimeout": whole(1, 3600)}),
    "scaling": {"oneOf": [_BY_DELAY, _BY_COUNT]},
    "timeout": {"type": "integer"},
    "flashboot": {"enum": ["OFF", "FLASHBOOT", "PRIORITY_FLASHBOOT"]},
    "dataCenterIds": _TEXTS,
    "networkVolumes": _TEXTS,
    "templateId": NAME,
}
_PATCHED_GPU = _GPU | {"minCudaVersion": {"type": "string", "pattern": r"^$|^\d+\.\d+$"}}
_TEMPLATE: dict[str, Schema] = _CONTAINER | {
    "name": NAME,
    "allowedCudaVersions": {"type": "array", "items": _CUDA},
    "category": {"enum": ["CPU", "NVIDIA", "AMD"]},
    "mounts": fields({"persistent": fields({"size": whole(10), "path": TEXT}, "size", "path")}),
    "public": FLAG,
    "serverless": FLAG,
    "startJupyter": FLAG,
    "startSsh": FLAG,
}
_WITH_IMAGE: Schema = {"anyOf": [{"required": ["image"]}, {"required": ["templateId"]}]}
_COUNTED: Schema = {
    "if": {"properties": {"type": {"const": "LOAD_BALANCER"}}, "required": ["type"]},
    "then": {"properties": {"scaling": _BY_COUNT}},
}
SCHEMAS: dict[str, Schema] = {
    "CreateEndpointRequest": fields(_ENDPOINT | {"type": {"enum": ["QUEUE", "LOAD_BALANCER"]}}, "name", "type", "scaling")
    | _WITH_IMAGE
    | _COUNTED,
    "UpdateEndpointRequest": fields(
        _ENDPOINT | {"gpu": fields(_PATCHED_GPU) | {"dependentRequired": {"excludedTypes": ["pools"]}}, "templateId": TEXT}
    ),
    "CreateTemplateRequest": fields(_TEMPLATE, "name", "image"),
    "CreateRegistryRequest": fields(
        {
            "name": NAME | {"maxLength": 191},
            "username": NAME | {"maxLength": 191},
            "password": NAME | {"maxLength": 16_384},
        },
        "name",
        "username",
        "password",
    ),
    "CreateNetworkVolumeRequest": fields(
        {"name": NAME, "size": whole(10, 4096), "dataCenter": NAME, "type": {"enum": ["STANDARD", "HIGH_PERFORMANCE"]}},
        "name",
        "size",
        "dataCenter",
    ),
    "UpdateNetworkVolumeRequest": fields({"name": NAME, "size": whole(10, 4096)}) | {"minProperties": 1},
}
FIELDS = {name: set(schema["properties"]) for name, schema in SCHEMAS.items()}
"""The fields of each body."""
