"""The admission plugin's self-test: each guarded route is called, with everything shut, and must be refused by us.

It runs in the server's process before the first request, so a release of MLflow whose routes no longer end in the methods
that are guarded does not start at all.
"""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING, Any

from registry.mlflow.server.admission import Admission
from registry.mlflow.server.refusal import MARK
from registry.mlflow.server.routes import routes_of, unknown_routes

if TYPE_CHECKING:
    from flask import Flask

_NAME = {"name": "modelyard-self-test"}
_VERSION = {**_NAME, "version": "1"}
_ID = "m-" + "0" * 32
_RUN = {"run_id": "0" * 32}
_MLMODEL = '{"artifact_path": "m", "flavors": {"python_function": {}}, "utc_time_created": "2026-01-01", "run_id": "0"}'

ROUTES: tuple[tuple[str, str, dict[str, Any]], ...] = (
    ("POST", "mlflow/registered-models/alias", {**_VERSION, "alias": "production"}),
    ("DELETE", "mlflow/registered-models/alias", {**_NAME, "alias": "production"}),
    ("POST", "mlflow/model-versions/transition-stage", {**_VERSION, "stage": "Production", "archive_existing_versions": False}),
    ("POST", "mlflow/model-versions/set-tag", {**_VERSION, "key": "modelyard.stage", "value": "production"}),
    ("DELETE", "mlflow/model-versions/delete-tag", {**_VERSION, "key": "modelyard.stage"}),
    ("POST", "mlflow/registered-models/set-tag", {**_NAME, "key": "modelyard.x", "value": "y"}),
    ("DELETE", "mlflow/model-versions/delete", _VERSION),
    ("POST", "mlflow/registered-models/rename", {**_NAME, "new_name": "other"}),
    ("DELETE", "mlflow/registered-models/delete", _NAME),
    ("POST", "mlflow/registered-models/create", {**_NAME, "tags": [{"key": "modelyard.x", "value": "y"}]}),
    ("POST", "mlflow/experiments/create", {**_NAME, "artifact_location": "mlflow-artifacts:/modelyard-self-test"}),
    ("POST", "mlflow/runs/delete", _RUN),
    ("POST", "mlflow/runs/log-metric", {**_RUN, "key": "k", "value": 1.0, "timestamp": 1}),
    ("POST", "mlflow/runs/log-parameter", {**_RUN, "key": "k", "value": "v"}),
    ("POST", "mlflow/runs/log-batch", {**_RUN, "tags": [{"key": "k", "value": "v"}]}),
    ("POST", "mlflow/runs/set-tag", {**_RUN, "key": "k", "value": "v"}),
    ("POST", "mlflow/runs/delete-tag", {**_RUN, "key": "k"}),
    ("POST", "mlflow/runs/update", {**_RUN, "run_name": "x"}),
    ("POST", "mlflow/runs/log-model", {**_RUN, "model_json": _MLMODEL}),
    ("POST", "mlflow/runs/log-inputs", {**_RUN, "models": [{"model_id": _ID}]}),
    ("POST", "mlflow/runs/outputs", {**_RUN, "models": [{"model_id": _ID, "step": 0}]}),
    ("POST", f"mlflow/logged-models/{_ID}/params", {"model_id": _ID, "params": [{"key": "k", "value": "v"}]}),
    ("PATCH", f"mlflow/logged-models/{_ID}/tags", {"model_id": _ID, "tags": [{"key": "k", "value": "v"}]}),
    ("DELETE", f"mlflow/logged-models/{_ID}/tags/k", {}),
    ("POST", "mlflow/experiments/delete", {"experiment_id": "999999999"}),
    ("DELETE", f"mlflow/logged-models/{_ID}", {}),
    ("PATCH", f"mlflow/logged-models/{_ID}", {"model_id": _ID, "status": 2}),
)
PROXIED: tuple[tuple[str, str, dict[str, Any]], ...] = (
    ("PUT", "mlflow-artifacts/artifacts/modelyard-self-test", {}),
    ("DELETE", "mlflow-artifacts/artifacts/modelyard-self-test", {}),
)


class GuardError(SystemExit):
    """A guard does not hold: the server must not start."""


def check_guards(admission: Admission, app: Flask) -> None:
    """Call every guarded route under both prefixes; raise GuardError naming the first that was not refused."""
    from mlflow.server import SERVE_ARTIFACTS_ENV_VAR

    proxied = PROXIED if os.environ.get(SERVE_ARTIFACTS_ENV_VAR) == "true" else ()
    log = logging.getLogger("mlflow.server.handlers")
    quiet, admission.closed = log.level, True
    log.setLevel(logging.CRITICAL)  # it would report each refusal as an error
    try:
        for method, tail, body in (*ROUTES, *proxied):
            for prefix in ("/api/2.0/", "/ajax-api/2.0/"):
                _check(app, method, f"{os.environ.get('_MLFLOW_STATIC_PREFIX', '').rstrip('/')}{prefix}{tail}", body)
        if proxied:
            _check_native()
    finally:
        admission.closed = False
        log.setLevel(quiet)


def check_routes(app: Flask, served: object) -> None:
    """Raise GuardError where MLflow has a route that changes something and that nobody has looked at."""
    if unknown := unknown_routes(routes_of(app, served)):
        raise GuardError(
            f"modelyard: admission does not know what {', '.join(unknown[:5])} may change; this release of MLflow has routes "
            "that the tested one has not, so the server does not start: use MLflow 3.17"
        )


def _check(app: Flask, method: str, path: str, body: dict[str, Any]) -> None:
    """Call a route's view as Flask would, past a login that comes before it."""
    from werkzeug.exceptions import HTTPException

    try:
        with app.test_request_context(path, method=method, json=body):
            endpoint, given = app.url_map.bind("").match(path, method)
            answer = app.make_response(app.ensure_sync(app.view_functions[endpoint])(**given))
        status, text = answer.status_code, answer.get_data(as_text=True)
    except HTTPException as error:
        status, text = error.code or 0, str(error)
    if status != 403 or MARK not in text:  # noqa: PLR2004
        raise GuardError(
            f"modelyard: admission's self-test failed: {method} {path} answered {status} ({text[:200]}), not our refusal; "
            "this release of MLflow keeps its routes elsewhere, so the server does not start: use MLflow 3.17"
        )


def _check_native() -> None:
    """Uvicorn streams artifacts past Flask: it must write to the very repository that is guarded."""
    from mlflow.server import artifact_router, handlers

    if artifact_router._get_artifact_repo() is not handlers._get_artifact_repo_mlflow_artifacts():  # noqa: SLF001
        raise GuardError("modelyard: admission's self-test failed: MLflow streams artifacts past the guard; use MLflow 3.17")
