"""How admission says no."""

from __future__ import annotations

from typing import NoReturn

from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import PERMISSION_DENIED

from registry.errors import shorten

MARK = "modelyard: "
"""What every refusal of ours begins with."""


def refuse(sentence: str) -> NoReturn:
    """Raise what MLflow answers with 403."""
    raise MlflowException(MARK + shorten(sentence, 1200), error_code=PERMISSION_DENIED)
