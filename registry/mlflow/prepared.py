"""An MLflow "flavour" that logs a model folder which another process, or another Python world, wrote.

`mlflow.models.Model.log(flavor=<this module>, prepared=DIR)` copies DIR and keeps the flavours, the signature and
the input example that its MLmodel names, so that stock MLflow loads it as if it had been logged where it was made.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from mlflow.models import Model


def save_model(path: str, mlflow_model: Model, prepared: str, **_: object) -> None:
    """What `Model.log` calls; `path` does not exist yet."""
    shutil.copytree(prepared, path)
    written = Model.load(prepared)
    mlflow_model.flavors = written.flavors
    mlflow_model.signature = written.signature
    mlflow_model.saved_input_example_info = written.saved_input_example_info or {}
    mlflow_model.model_size_bytes = sum(file.stat().st_size for file in Path(path).rglob("*") if file.is_file())
    mlflow_model.save(str(Path(path) / "MLmodel"))
