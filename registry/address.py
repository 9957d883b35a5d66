"""Where the MLflow server of a home answers."""

from __future__ import annotations

import contextlib
import os
import re

from registry.errors import UnavailableError
from registry.files import read_json
from registry.settings import Settings

UP = "up.json"
"""In the home: the addresses of what `modelyard up` runs, while it runs."""


def mlflow_address(settings: Settings) -> str:
    """As set for Modelyard, as the `modelyard up` of this home wrote it down, or as MLflow's own variable says."""
    if settings.mlflow_uri:
        return settings.mlflow_uri
    with contextlib.suppress(FileNotFoundError, KeyError, ValueError):
        return str(read_json(settings.home / UP)["mlflow"])
    if uri := os.environ.get("MLFLOW_TRACKING_URI"):
        return uri
    raise UnavailableError(f"MLflow server of {settings.home}", "is not running", "start it with `modelyard up`")


def redact_login(uri: str) -> str:
    """An address without the user and password in it, for messages, pages and records."""
    return re.sub(r"//[^/@]*@", "//", uri)
