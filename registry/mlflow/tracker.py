"""Logging runs to an MLflow server: params, metrics per epoch, data sets, plots, models and cost."""

from __future__ import annotations

import json
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import mlflow
from mlflow import MlflowClient
from mlflow.data.code_dataset_source import CodeDatasetSource
from mlflow.data.meta_dataset import MetaDataset
from mlflow.entities import Metric
from mlflow.models import Model
from mlflow.utils.time import get_current_time_millis

from registry.mlflow import prepared as prepared_flavour
from registry.mlflow.connection import connect, mapping_errors

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_DIGEST_CHARACTERS = 36
"""What the server's column holds of a data set's digest."""


class RunLog:
    """One run that is open."""

    def __init__(self, client: MlflowClient, run_id: str) -> None:
        """Log to an existing run."""
        self._client = client
        self.run_id = run_id

    def params(self, values: Mapping[str, object]) -> None:
        """Log parameters."""
        for key, value in values.items():
            self._client.log_param(self.run_id, key, value)

    def metrics(self, values: Mapping[str, float], step: int = 0) -> None:
        """Log metrics at a step."""
        stamp = get_current_time_millis()
        self._client.log_batch(self.run_id, [Metric(key, value, stamp, step) for key, value in values.items()])

    def tags(self, values: Mapping[str, str]) -> None:
        """Set tags."""
        for key, value in values.items():
            self._client.set_tag(self.run_id, key, value)

    def figure(self, figure: Figure, name: str) -> None:
        """Log a Matplotlib figure as a picture."""
        self._client.log_figure(self.run_id, figure, name)

    def folder(self, folder: Path, artifact_path: str) -> None:
        """Log a folder's files as artifacts below `artifact_path`."""
        self._client.log_artifacts(self.run_id, str(folder), artifact_path)

    def json(self, value: dict[str, Any] | list[Any], name: str) -> None:
        """Log a value as a JSON artifact."""
        self._client.log_text(self.run_id, json.dumps(value, indent=2), name)

    def text(self, text: str, name: str) -> None:
        """Log a text as an artifact."""
        self._client.log_text(self.run_id, text, name)

    def dataset(self, name: str, digest: str, source: str, context: str) -> None:
        """Say which data set the run used; the whole digest goes into a tag, MLflow's field is too short for it."""
        mlflow.log_input(_dataset(name, digest, source), context=context, tags={"modelyard.sha256": digest})

    def model(self, prepared: Path, name: str, registered: str) -> int:
        """Log a prepared model folder, register it, and return its version."""
        info = Model.log(
            artifact_path=None,
            name=name,
            flavor=prepared_flavour,
            prepared=str(prepared),
            registered_model_name=registered,
            validate_serving_input=False,
            model_type="classifier",
        )
        return int(info.registered_model_version or 0)


def _dataset(name: str, digest: str, source: str) -> MetaDataset:
    code = CodeDatasetSource(tags={"mlflow.source.name": source})
    return MetaDataset(code, name=name, digest=digest[:_DIGEST_CHARACTERS])


class Tracker:
    """Runs of one experiment on one server."""

    def __init__(self, uri: str, experiment: str) -> None:
        """Connect; the experiment is made if it is not there."""
        self._uri = connect(uri)
        mlflow.set_tracking_uri(uri)
        mlflow.set_registry_uri(uri)
        self._client = MlflowClient()
        with mapping_errors(uri, f"experiment '{experiment}'"):
            self._experiment = mlflow.set_experiment(experiment).experiment_id

    def find(self, tags: Mapping[str, str]) -> str | None:
        """A run of the experiment that carries these tags."""
        wanted = " and ".join(f"tags.`{key}` = '{value}'" for key, value in tags.items())
        with mapping_errors(self._uri, "runs"):
            runs = self._client.search_runs([self._experiment], wanted, max_results=1)
        return runs[0].info.run_id if runs else None

    @contextmanager
    def run(self, name: str, tags: Mapping[str, str]) -> Generator[RunLog]:
        """A new run, finished when the block ends, failed when it raises."""
        mlflow.set_tracking_uri(self._uri)  # MLflow keeps both in globals, and another tracker may have been made since
        mlflow.set_registry_uri(self._uri)
        new = partial(mlflow.start_run, run_name=name, experiment_id=self._experiment, tags=dict(tags))
        with mapping_errors(self._uri, f"run '{name}'"), new() as active:
            yield RunLog(self._client, active.info.run_id)

    @contextmanager
    def resume(self, run_id: str) -> Generator[RunLog]:
        """An existing run, to add what was learnt of its model later; its status and times stay."""
        with mapping_errors(self._uri, f"run '{run_id}'"):
            yield RunLog(self._client, run_id)
