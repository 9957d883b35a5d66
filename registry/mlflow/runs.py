"""Reading one run by MLflow's own client."""

from __future__ import annotations

from mlflow import MlflowClient

from registry.mlflow.connection import connect, mapping_errors


def read_params(uri: str, run_id: str) -> dict[str, str]:
    """A run's parameters; none where it was deleted."""
    with mapping_errors(uri, f"run '{run_id}'"):
        return dict(MlflowClient(tracking_uri=connect(uri)).get_run(run_id).data.params)
