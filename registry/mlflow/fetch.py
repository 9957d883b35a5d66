"""Fetching a model's files by a name that MLflow knows: of a run, or of a registered version that this home did not make."""

from __future__ import annotations

from pathlib import Path

import mlflow
from mlflow.exceptions import MlflowException

from registry.errors import NotFoundError, shorten
from registry.mlflow.connection import connect, mapping_errors


def fetch_model(uri: str, server: str, folder: Path) -> Path:
    """Download `runs:/RUN/model`, `models:/NAME/VERSION` and the like from an MLflow server into a new folder."""
    connect(server)
    mlflow.set_tracking_uri(server)
    mlflow.set_registry_uri(server)
    folder.mkdir(parents=True)
    try:
        with mapping_errors(server, uri):
            local = mlflow.artifacts.download_artifacts(artifact_uri=uri, dst_path=str(folder), tracking_uri=server)
    except NotFoundError as error:
        raise NotFoundError(uri, f"is not at {server}", "see the run's artifacts in MLflow's UI") from error
    except (MlflowException, OSError, ValueError) as error:  # files that the server promises and does not have
        raise NotFoundError(
            uri, f"cannot be fetched ({shorten(error, 120)})", "see the run's artifacts in MLflow's UI"
        ) from error
    return Path(local)
