"""Reaching an MLflow server: quickly when it is there, and with one line when it is not."""

from __future__ import annotations

import logging
import os
from collections.abc import Generator
from contextlib import contextmanager

import httpx
import requests
from mlflow.exceptions import MlflowException

from registry.address import redact_login
from registry.errors import InputError, ModelyardError, NotFoundError, UnavailableError, shorten

_TIMEOUT_S = 5.0


@contextmanager
def mapping_errors(uri: str, subject: object) -> Generator[None]:
    """Turn what MLflow's client raises within the block into one of our errors."""
    try:
        yield
    except (requests.exceptions.ConnectionError, requests.exceptions.Timeout) as error:
        raise unreachable(uri, error) from error
    except MlflowException as error:
        raise _explain(uri, subject, error) from error


def unreachable(uri: str, error: Exception) -> UnavailableError:
    """A server that stopped answering."""
    return UnavailableError(
        f"MLflow server {redact_login(uri)}", f"stopped answering ({type(error).__name__})", "start it with `modelyard up`"
    )


def _explain(uri: str, subject: object, error: MlflowException) -> ModelyardError:
    """One of ours for one of theirs."""
    if error.error_code == "RESOURCE_DOES_NOT_EXIST":
        return NotFoundError(subject, "is not registered", "see `modelyard status` for what is")
    if "API request to" in error.message and "failed with" in error.message and "exceeded" in error.message:
        return unreachable(uri, error)
    message = shorten(error.message.replace(uri, redact_login(uri)), 200)
    return ModelyardError(subject, f"MLflow answered: {message}", "see logs/mlflow.log in the home, or the server's own log")


def connect(uri: str) -> str:
    """Check that the server answers, and set what MLflow's client reads from the environment.

    MLflow's own retries go on for minutes; a server that is down is better reported at once. Raises InputError where MLflow's
    client would look into a workspace: a model's name means one model to the ledger.
    """
    workspace = os.environ.get("MLFLOW_WORKSPACE", "")
    if workspace not in {"", "default"}:
        expected = "names a workspace, and the ledger cannot tell two models of one name apart"
        raise InputError(f"MLFLOW_WORKSPACE={workspace}", expected, "unset it, and use a home and a server for each team")
    try:
        answer = httpx.get(f"{uri.rstrip('/')}/health", timeout=_TIMEOUT_S)
        answer.raise_for_status()
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise UnavailableError(
            f"MLflow server {redact_login(uri)}", f"does not answer ({type(error).__name__})", "start it with `modelyard up`"
        ) from None
    os.environ["MLFLOW_TRACKING_URI"] = uri
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "30")
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
    logging.getLogger("mlflow").setLevel(logging.ERROR)
    logging.getLogger("alembic").setLevel(logging.ERROR)
    return uri
