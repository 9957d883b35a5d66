"""Who acts: as an MLflow server with logins confirms it, else as this machine's account says of itself."""

from __future__ import annotations

import getpass
import os

import httpx

from registry.address import mlflow_address
from registry.errors import InputError, UnavailableError
from registry.records import Actor
from registry.settings import Settings

_PATIENCE_S = 5.0


def whoami(settings: Settings, claimed: str | None = None) -> Actor:
    """The user whose name and password MLflow's own variables hold, if the server asks for logins; else a bare name.

    `claimed` is who somebody says they are. It counts only where no server knows better.
    """
    known = _confirmed(settings)
    if known is None:
        return Actor(claimed or _account())
    if claimed and claimed != known:
        raise InputError(f"name '{claimed}'", f"the MLflow server knows you as '{known}'", "leave --as out")
    return Actor(known, proven=True)


def _confirmed(settings: Settings) -> str | None:
    """The name that a server with logins gives for our password; None where it has no logins."""
    user, password = os.environ.get("MLFLOW_TRACKING_USERNAME"), os.environ.get("MLFLOW_TRACKING_PASSWORD")
    if not user or password is None:
        return None
    address = f"{mlflow_address(settings).rstrip('/')}/api/2.0/mlflow/users/current"
    try:
        answer = httpx.get(address, auth=(user, password), timeout=_PATIENCE_S)
    except httpx.HTTPError:
        return None
    if answer.status_code == httpx.codes.UNAUTHORIZED:
        raise InputError("MLFLOW_TRACKING_USERNAME", "the MLflow server does not accept it with its password", "correct both")
    if not answer.is_success:
        return None
    try:
        return str(answer.json()["user"]["username"])
    except (ValueError, KeyError, TypeError) as error:  # something else answers at that address
        raise UnavailableError("MLflow server", "does not say who is logged in", "see what answers at its address") from error


def _account() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"uid {os.getuid()}"
