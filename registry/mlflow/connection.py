"""Reaching an MLflow server: quickly when it is there, and with one line when it is not."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Generator, Iterator
from contextlib import contextmanager

import httpx
import requests
from mlflow.exceptions import MlflowException, RestException

from registry.address import redact_login
from registry.errors import InputError, ModelyardError, NotFoundError, UnavailableError, shorten

_TIMEOUT_S = 5.0
_SERVER_ERRORS, _BAD_GATEWAY, _TOO_MANY = 500, 502, 429
_UNREACHED = re.compile(r"Max retries exceeded|Connection aborted|timed out|\b(429|50\d) (Client|Server) Error", re.IGNORECASE)
_FAILED_WITH = re.compile(r"API request to endpoint \S+ failed with error code (\d+)")


@contextmanager
def mapping_errors(uri: str, subject: object) -> Generator[None]:
    """Turn what MLflow's client raises within the block into one of our errors."""
    try:
        yield
    except (requests.exceptions.ConnectionError, requests.exceptions.Timeout) as error:
        raise unreachable(uri, error) from error
    except requests.exceptions.RequestException as error:  # of artifacts, which MLflow sends without a word of its own
        status = error.response.status_code if error.response is not None else _BAD_GATEWAY
        raise _answered(uri, subject, status, str(error)) from error
    except MlflowException as error:
        raise _explain(uri, subject, error) from error


def _answered(uri: str, subject: object, status: int, message: str) -> ModelyardError:
    """The error for an answer other than success: a server that fails by itself counts as one that does not answer."""
    if status >= _SERVER_ERRORS or status == _TOO_MANY:
        what = f"answered with an error ({status})"
        return UnavailableError(f"MLflow server {redact_login(uri)}", what, "see its log, or start it with `modelyard up`")
    message = shorten(message.replace(uri, redact_login(uri)), 200)
    return ModelyardError(subject, f"MLflow answered: {message}", "see logs/mlflow.log in the home, or the server's own log")


def unreachable(uri: str, error: Exception) -> UnavailableError:
    """A server that stopped answering."""
    return UnavailableError(
        f"MLflow server {redact_login(uri)}", f"stopped answering ({type(error).__name__})", "start it with `modelyard up`"
    )


def _explain(uri: str, subject: object, error: MlflowException) -> ModelyardError:
    """One of ours for one of theirs."""
    if error.error_code == "RESOURCE_DOES_NOT_EXIST":
        return NotFoundError(subject, "is not registered", "see `modelyard status` for what is")
    # Some of MLflow's calls answer a lost connection with an error of their own, of an invalid parameter.
    causes = list(_causes(error))
    if any(isinstance(cause, (requests.exceptions.ConnectionError, requests.exceptions.Timeout)) for cause in causes):
        return unreachable(uri, error)
    if any("API request to" in str(cause) and "failed with" in str(cause) and "exceeded" in str(cause) for cause in causes):
        return unreachable(uri, error)
    status = max(_status(cause) for cause in causes if isinstance(cause, MlflowException))
    return _answered(uri, subject, status, error.message)


def _causes(error: BaseException) -> Iterator[BaseException]:
    """An error, and what it was raised from."""
    cause: BaseException | None = error
    while cause is not None:
        yield cause
        cause = cause.__cause__


def is_away(error: Exception) -> bool:
    """Whether a failed download, which MLflow describes in words only, says that the server was not reached or failed."""
    return isinstance(error, requests.exceptions.ConnectionError) or bool(_UNREACHED.search(str(error)))


def _status(error: MlflowException) -> int:
    """The HTTP status that an error of MLflow's client comes from, as far as it tells."""
    if match := _FAILED_WITH.search(error.message):
        return int(match[1])
    if "the response body was not" in error.message:  # a proxy's page
        return _BAD_GATEWAY
    return error.get_http_status_code() if isinstance(error, RestException) else 0


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
