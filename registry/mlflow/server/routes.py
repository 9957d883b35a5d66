"""Every route by which MLflow 3.17 changes anything: the guarded method that it ends in, or why it reaches nothing promoted.

The self-test reads it at each start: a route of another release that stands in neither table keeps the server from starting
until somebody has looked at it. Methods of the stores are guarded, not routes; so a route that is written down wrongly here
opens nothing, it only says the wrong thing.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from typing import Any

Route = tuple[str, str]
"""A method, and a path without its prefix: `POST`, `mlflow/runs/delete`."""

GUARDED: dict[str, str] = {
    "POST mlflow/registered-models/alias": "set_registered_model_alias",
    "DELETE mlflow/registered-models/alias": "delete_registered_model_alias",
    "POST mlflow/registered-models/create": "create_registered_model",
    "DELETE mlflow/registered-models/delete": "delete_registered_model",
    "POST mlflow/registered-models/rename": "rename_registered_model",
    "POST mlflow/registered-models/set-tag": "set_registered_model_tag",
    "POST mlflow/model-versions/create": "create_model_version",
    "DELETE mlflow/model-versions/delete": "delete_model_version",
    "POST mlflow/model-versions/set-tag": "set_model_version_tag",
    "DELETE mlflow/model-versions/delete-tag": "delete_model_version_tag",
    "POST mlflow/model-versions/transition-stage": "transition_model_version_stage",
    "POST mlflow/experiments/create": "create_experiment",
    "POST mlflow/experiments/delete": "delete_experiment",
    "POST mlflow/runs/delete": "delete_run",
    "POST mlflow/runs/update": "update_run_info",
    "POST mlflow/runs/log-metric": "log_metric",
    "POST mlflow/runs/log-parameter": "log_param",
    "POST mlflow/runs/log-batch": "log_batch",
    "POST mlflow/runs/log-model": "record_logged_model",
    "POST mlflow/runs/log-inputs": "log_inputs",
    "POST mlflow/runs/outputs": "log_outputs",
    "POST mlflow/runs/set-tag": "set_tag",
    "POST mlflow/runs/delete-tag": "delete_tag",
    "DELETE mlflow/logged-models/{}": "delete_logged_model",
    "PATCH mlflow/logged-models/{}": "finalize_logged_model",
    "POST mlflow/logged-models/{}/params": "log_logged_model_params",
    "PATCH mlflow/logged-models/{}/tags": "set_logged_model_tags",
    "DELETE mlflow/logged-models/{}/tags/{}": "delete_logged_model_tag",
    "PUT mlflow-artifacts/artifacts/{}": "log_artifact_from_stream",
    "DELETE mlflow-artifacts/artifacts/{}": "delete_artifacts",
    "POST mlflow-artifacts/mpu/create/{}": "create_multipart_upload",
    "POST mlflow-artifacts/mpu/complete/{}": "complete_multipart_upload",
    "POST mlflow/artifacts/presigned-upload-url": "create_presigned_upload_url",
    "POST mlflow/upload-artifact": "log_artifact",
}

_READS = "it reads, with its question in the body"
_OWN = "it has tables of its own, and no file"
_PROSE = "it writes a description, which people read as one"
HARMLESS: dict[str, str] = {
    "POST graphql": "MLflow's schema has one mutation, which echoes its argument",
    "POST mlflow/(experiments|runs|logged-models)/search": _READS,
    "POST mlflow/(experiments/search-datasets|runs/search-datasets|registered-models/get-latest-versions)": _READS,
    "POST mlflow/artifacts/presigned-download-url": _READS,
    "PATCH mlflow/(registered-models|model-versions)/update": _PROSE,
    "DELETE mlflow/registered-models/delete-tag": "models carry no tag of ours, and without a tag none is hidden",
    "POST mlflow/experiments/(restore|update|set-experiment-tag|delete-experiment-tag)": "a name, a note, or restored",
    "POST mlflow/runs/(create|restore)": "a new run, or back from deletion",
    "POST mlflow/logged-models": "a new one, with a new identity and a folder of its own",
    "POST mlflow-artifacts/mpu/abort/{}": "an upload that never ends writes nothing",
    "(POST|PATCH|DELETE) mlflow/traces.*": "traces; what it deletes is called as no model's file is",
    "POST v1/traces": "traces",
    "(POST|PATCH|PUT|DELETE) mlflow/(webhooks|gateway|datasets|label-schemas|review-queues|scorers|issues)(/.*)?": _OWN,
    "(POST|PATCH|DELETE) mlflow/(prompt-optimization/jobs|mcp-servers)(/.*)?": _OWN,
    "PATCH mlflow/jobs/cancel/{}": _OWN,
    "POST mlflow/(genai/evaluate|scorer)/invoke": "it starts a job that judges traces",
    "POST mlflow/runs/create-promptlab-run": "a new run",
    "POST mlflow/ui-telemetry": "how the pages are used",
    "(POST|PATCH) jobs(/.*)?": "MLflow's own list of jobs, which come back over these routes",
    "POST (gateway/.*|mlflow/gateway-proxy)": "it calls a language model elsewhere",
    "(POST|PATCH|PUT) mlflow/assistant/.*": "an agent of whoever sits at this machine, with that user's rights and no others",
    "(POST|PATCH|DELETE) mlflow/workspaces(/.*)?": "it answers that workspaces are off: with them no server of ours starts",
    "(POST|PATCH|DELETE) mlflow/(users|roles)(/.*)?": "logins and their rights",
    "POST modelyard/runs": "ours: it reads",
    "POST mlflow/demo/.*": "it makes or removes an experiment of examples",
}

_READING = {"GET", "HEAD", "OPTIONS"}
_PREFIX = re.compile(r"^/?(?:(?:ajax-)?api/\d\.\d/?)?")
_VARIABLE = re.compile(r"<[^>]*>|\{[^}]*\}")


def unknown_routes(routes: Iterable[Route]) -> list[str]:
    """The routes that change something and stand in neither table, as in `POST mlflow/new`."""
    names = {f"{method} {path}" for method, path in routes if method not in _READING}
    harmless = [re.compile(pattern.replace("{}", r"\{\}")) for pattern in HARMLESS]
    return sorted(name for name in names if name not in GUARDED and not any(known.fullmatch(name) for known in harmless))


def routes_of(flask: Any, served: Any) -> Iterator[Route]:
    """Every route of MLflow's Flask application, and of what is served in front of it."""
    for rule in flask.url_map.iter_rules():
        yield from ((method, bare(rule.rule)) for method in rule.methods)
    yield from _walk(getattr(served, "routes", ()), "")


def bare(path: str) -> str:
    """A path without the prefix of an API, and without the names of its variables."""
    static = os.environ.get("_MLFLOW_STATIC_PREFIX", "").rstrip("/")
    return _VARIABLE.sub("{}", _PREFIX.sub("", path.removeprefix(static), count=1)).rstrip("/")


def _walk(routes: Iterable[Any], prefix: str) -> Iterator[Route]:
    for route in routes:
        inner, context = getattr(route, "original_router", None), getattr(route, "include_context", None)
        if inner is not None:
            yield from _walk(inner.routes, prefix + getattr(context, "prefix", ""))
        for method in getattr(route, "methods", None) or ():
            yield method, bare(prefix + route.path)
