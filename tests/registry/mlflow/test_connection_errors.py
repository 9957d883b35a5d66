"""A server that went away is known as that, however MLflow's client words it: a training then waits instead of failing."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import pytest
import requests
from mlflow.exceptions import MlflowException, RestException

from registry.errors import ModelyardError, UnavailableError
from registry.mlflow.connection import mapping_errors

URI = "http://127.0.0.1:5000"


def _chained(*errors: Exception) -> Exception:
    """The last of them, each raised from the one before it."""
    for cause, error in pairwise(errors):
        error.__cause__ = cause
    return errors[-1]


def _invalid() -> MlflowException:
    return MlflowException.invalid_parameter_value("Failed to get logged model with ID m-1. It may have been deleted.")


def _failed(status: int) -> MlflowException:
    return MlflowException(
        f"API request to endpoint /api/2.0/mlflow/x failed with error code {status} != 200. Response body: ''"
    )


@pytest.mark.parametrize("own", [0, 1, 2], ids=["plain", "wrapped", "wrapped twice"])
@pytest.mark.parametrize(
    "cause",
    [
        lambda: requests.exceptions.ConnectionError("Connection aborted."),
        lambda: requests.exceptions.ReadTimeout("Read timed out."),
        lambda: _chained(
            requests.exceptions.ConnectionError("reset"), MlflowException("API request to /x failed with exception")
        ),
        lambda: MlflowException("API request to /x failed with timeout exception: Max retries exceeded"),
        lambda: _failed(503),
        lambda: _failed(429),
        lambda: RestException({"error_code": "INTERNAL_ERROR", "message": "it broke"}),
    ],
)
def test_a_lost_connection_or_a_server_that_fails_is_unavailable(cause: Callable[[], Exception], own: int) -> None:
    with pytest.raises(UnavailableError, match="MLflow server"), mapping_errors(URI, "run 'a'"):
        raise _chained(cause(), *[_invalid() for _ in range(own)])


@pytest.mark.parametrize("cause", [[], [_failed(400)], [ValueError("no number")]])
def test_what_the_server_refuses_is_the_requests_own_fault(cause: list[Exception]) -> None:
    with (
        pytest.raises(ModelyardError, match="MLflow answered: Failed to get logged model") as caught,
        mapping_errors(URI, "run 'a'"),
    ):
        raise _chained(*cause, _invalid())
    assert not isinstance(caught.value, UnavailableError)
