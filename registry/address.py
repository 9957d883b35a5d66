"""Where the MLflow server of a home answers."""

from __future__ import annotations

import os

from registry.errors import UnavailableError
from registry.files import read_json
from registry.settings import Settings

UP = "up.json"
"""In the home: the addresses of what `modelyard up` runs, while it runs."""


def mlflow_address(settings: Settings) -> str:
    """As set, as MLflow's own variable says, or as `modelyard up` wrote it down."""
    if told := settings.mlflow_uri or os.environ.get("MLFLOW_TRACKING_URI"):
        return told
    try:
        return str(read_json(settings.home / UP)["mlflow"])
    except FileNotFoundError as error:
        raise UnavailableError(f"MLflow server of {settings.home}", "is not running", "start it with `modelyard up`") from error
