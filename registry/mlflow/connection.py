"""Reaching an MLflow server: quickly when it is there, and with one line when it is not."""

from __future__ import annotations

import logging
import os

import httpx

from registry.errors import UnavailableError

_PATIENCE_S = 5.0


def connect(uri: str) -> str:
    """Check that the server answers, and set what MLflow's client reads from the environment.

    MLflow's own retries go on for minutes; a server that is down is better said at once.
    """
    try:
        answer = httpx.get(f"{uri.rstrip('/')}/health", timeout=_PATIENCE_S)
        answer.raise_for_status()
    except httpx.HTTPError as error:
        raise UnavailableError(
            f"MLflow server {uri}", f"does not answer ({type(error).__name__})", "start it with `modelyard up`"
        ) from error
    os.environ["MLFLOW_TRACKING_URI"] = uri
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "30")
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
    logging.getLogger("mlflow").setLevel(logging.ERROR)
    logging.getLogger("alembic").setLevel(logging.ERROR)
    return uri
