"""The OpenAPI document of the HTTP app: written by hand, served at /openapi.json, and kept in docs/openapi.json.

It is the app's contract and not generated from its code; `tests/serving/server/test_openapi.py` tests the app against it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from serving.inference.prediction import Prediction
from serving.server.protocols.mlflow import Invocation
from serving.server.protocols.oip import InferRequest
from serving.server.protocols.plain import PlainRequest

_REF = "#/components/schemas/{name}"
_NAMED = {
    "model": {"type": "string"},
    "version": {"type": "integer", "description": "the registered version"},
    "bundle": {"type": "string", "description": "SHA-256 of the bundle's files"},
}
_ANYWHERE = (400, 404, 405, 414, 431)
_REFUSALS = {
    400: "the request is not valid HTTP",
    401: "the API key is missing or wrong",
    404: "no such address, model or version is served here",
    405: "the address does not answer this method; Allow says which it does",
    408: "the body took too long to arrive",
    413: "the body is too large",
    414: "the address is too long",
    415: "the content type is not accepted",
    422: "not a picture, or not a valid request of this protocol",
    429: "the queue is full; Retry-After says when to try again",
    431: "the head is too large",
    503: "the server cannot answer now",
}


def document() -> dict[str, Any]:
    """The document, as plain data."""
    schemes = {"key": {"type": "http", "scheme": "bearer", "description": "where the server has a key; or X-API-Key: KEY"}}
    posts = {path: {"post": operation} for path, operation in _post_paths().items()}
    return {
        "openapi": "3.1.0",
        "info": {"title": "Modelyard endpoint", "version": "1", "description": "One bundle behind four protocols."},
        "paths": posts | {path: {"get": operation} for path, operation in _get_paths()},
        "components": {"schemas": _schemas(), "securitySchemes": schemes},
        "security": [{}, {"key": []}],
    }


def _post_paths() -> dict[str, dict[str, Any]]:
    """The POST paths: inference."""
    picture = {"type": "string", "format": "binary"}
    answer = {"oneOf": [_ref("PlainAnswer"), _object({"predictions": _list("Prediction"), **_NAMED})]}
    form = {"type": "object", "properties": {"file": picture}, "required": ["file"]}
    bodies = {"image/*": picture, "application/octet-stream": picture, "multipart/form-data": form}
    infer = _post("Predict, by the Open Inference Protocol", {"application/json": _ref("InferRequest")}, _ref("InferResponse"))
    infer["responses"]["200"]["content"]["application/octet-stream"] = {"schema": picture}  # outputs as binary tensor data
    predictions = _object({"predictions": _list("Prediction")})
    plain = bodies | {"application/json": _ref("PlainRequest")}
    return {
        "/predict": _post("Predict one picture, or a list of them in JSON", plain, answer),
        "/invocations": _post("Predict, by MLflow's scoring protocol", {"application/json": _ref("Invocation")}, predictions),
        "/v2/models/{model}/infer": infer | {"parameters": [_path("model")]},
        "/v2/models/{model}/versions/{version}/infer": infer | {"parameters": [_path("model"), _path("version")]},
    }


def _get_paths() -> Iterator[tuple[str, dict[str, Any]]]:
    """The GET paths: health, metadata, metrics."""
    health, ready = _object({"status": {"type": "string"}, **_NAMED}), _object({"ready": {"type": "boolean"}})
    yield "/", _get("What this server is", _object(_NAMED), open_to_all=True)
    yield "/health", _get("Readiness, and the served bundle", health, open_to_all=True)
    yield "/ping", _ping()
    yield "/version", _text("The version that is served")
    yield "/metrics", _text("Metrics for Prometheus")
    yield "/openapi.json", _get("This document", {"type": "object"})
    yield "/v2", _get("The server's name and extensions", {"type": "object"})
    yield "/v2/health/live", _get("Liveness", _object({"live": {"type": "boolean"}}), open_to_all=True)
    yield "/v2/health/ready", _get("Readiness", ready, open_to_all=True)
    about = _get("The model's inputs and outputs", _ref("ModelMetadata"))
    model_ready = _get("The model's readiness", _object({"name": {"type": "string"}, "ready": {"type": "boolean"}}))
    for path, names in (("/v2/models/{model}", ("model",)), ("/v2/models/{model}/versions/{version}", ("model", "version"))):
        given = {"parameters": [_path(name) for name in names]}
        yield path, about | given
        yield f"{path}/ready", model_ready | given


def _schemas() -> dict[str, Any]:
    """The schemas. Those of requests come from the records that parse them."""
    _, read = msgspec.json.schema_components([Prediction, PlainRequest, Invocation, InferRequest], ref_template=_REF)
    text, texts = {"type": "string"}, {"type": "array", "items": {"type": "string"}}
    kinds = {"type": "string", "enum": ["BYTES", "UINT8", "FP32"]}
    tensor = {"name": text, "datatype": kinds, "shape": {"type": "array", "items": {"type": "integer"}}}
    filled = {"type": "array", "items": _object({**tensor, "data": {"type": "array"}})}
    tensors = {"type": "array", "items": _object(tensor)}
    answered = {"model_name": text, "model_version": text, "id": text, "outputs": filled}
    about = {"name": text, "versions": texts, "platform": text, "inputs": tensors, "outputs": tensors}
    prediction = read["Prediction"]
    plain = _object(prediction["properties"] | _NAMED, (*prediction["required"], *_NAMED))
    return read | {
        "PlainAnswer": plain | {"additionalProperties": False},
        "Problem": _object({"error": text, "request_id": text}, ("error",)),
        "InferResponse": _object(answered, ("model_name", "model_version", "outputs")),
        "ModelMetadata": _object({**about, "parameters": {"type": "object"}}),
    }


def _ref(name: str) -> dict[str, Any]:
    return {"$ref": _REF.format(name=name)}


def _list(name: str) -> dict[str, Any]:
    return {"type": "array", "items": _ref(name)}


def _object(fields: dict[str, Any], required: tuple[str, ...] | None = None) -> dict[str, Any]:
    return {"type": "object", "properties": fields, "required": list(fields if required is None else required)}


def _path(name: str) -> dict[str, Any]:
    return {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}


def _json(schema: dict[str, Any]) -> dict[str, Any]:
    return {"application/json": {"schema": schema}}


def _problems(*codes: int) -> dict[str, Any]:
    return {str(code): {"description": _REFUSALS[code], "content": _json(_ref("Problem"))} for code in codes}


def _post(summary: str, bodies: dict[str, Any], answer: dict[str, Any]) -> dict[str, Any]:
    content = {kind: {"schema": schema} for kind, schema in bodies.items()}
    problems = _problems(*_REFUSALS)
    return {
        "summary": summary,
        "requestBody": {"required": True, "content": content},
        "responses": {"200": {"description": "the answer", "content": _json(answer)}} | problems,
    }


def _get(summary: str, answer: dict[str, Any], *, open_to_all: bool = False) -> dict[str, Any]:
    problems = _problems(*_ANYWHERE) | ({} if open_to_all else _problems(401))
    both = {"allOf": [answer, _ref("Problem")]} if answer.get("properties") else _ref("Problem")
    others = {"503": {"description": "not ready", "content": _json(both)}}
    operation = {
        "summary": summary,
        "responses": {"200": {"description": summary, "content": _json(answer)}} | problems | others,
    }
    return operation | ({"security": []} if open_to_all else {})


def _ping() -> dict[str, Any]:
    responses = {"200": {"description": "it can answer"}, "204": {"description": "it is getting ready"}}
    return {"summary": "MLflow's and RunPod's health check", "responses": responses | _problems(*_ANYWHERE), "security": []}


def _text(summary: str) -> dict[str, Any]:
    responses = {"200": {"description": summary, "content": {"text/plain": {"schema": {"type": "string"}}}}}
    return {"summary": summary, "responses": responses | _problems(401, *_ANYWHERE, 503)}
