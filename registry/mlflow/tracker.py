"""Logging runs to an MLflow server: params, metrics per epoch, data sets, plots, models and cost."""

from __future__ import annotations

import json
import os
import re
import warnings
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import mlflow
from mlflow import MlflowClient
from mlflow.data.code_dataset_source import CodeDatasetSource
from mlflow.data.meta_dataset import MetaDataset
from mlflow.entities import DatasetInput, InputTag, LifecycleStage, Metric, Param, RunTag
from mlflow.environment_variables import MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING
from mlflow.exceptions import MlflowException
from mlflow.models import Model
from mlflow.utils.time import get_current_time_millis
from requests import HTTPError

from registry.errors import ModelyardError
from registry.mlflow import prepared as prepared_flavour
from registry.mlflow.connection import connect, mapping_errors
from registry.mlflow.server.refusal import MARK
from registry.mlflow.store import logged_model_id
from registry.runs.rows import KIND, SEARCH

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from PIL.Image import Image

_DIGEST_CHARACTERS = 36
"""What the server's column holds of a data set's digest."""
_SAMPLE_S = 5
_FORBIDDEN = re.compile(r"[^\w\-. :/]")
_MOST_PARAMS = 100
"""What the server takes in one request."""
TASK_TAG = "modelyard.task"
_MODEL_TYPES = {"classify": "classifier", "detect": "detector"}


Mapped = Callable[[], AbstractContextManager[None]]
"""Makes a context in which what MLflow's client raises becomes one of our errors."""


class RunLog:
    """One run that is open.

    Each call is mapped by itself: what else happens while a run is open (training, most of all) is not MLflow's to answer for.

    A run behind a promoted version is closed by admission: what is there stays as it was. What was measured anew after a
    promotion then goes to a further run, which names the first.
    """

    def __init__(self, client: MlflowClient, run_id: str, mapped: Mapped, follow_up: Callable[[], str] | None = None) -> None:
        """Log to an existing run, and to the one that `follow_up` makes from the first write on that admission refuses."""
        self._client, self._mapped, self._follow_up = client, mapped, follow_up
        self.run_id, self.ended = run_id, False

    def params(self, values: Mapping[str, object]) -> None:
        """Log parameters, a hundred in a request."""
        entries = [Param(key, str(value)) for key, value in values.items()]
        for start in range(0, len(entries), _MOST_PARAMS):
            part = entries[start : start + _MOST_PARAMS]
            self._write(lambda run_id, part=part: self._client.log_batch(run_id, params=part))

    def metrics(self, values: Mapping[str, float], step: int = 0) -> None:
        """Log metrics at a step."""
        stamp = get_current_time_millis()
        self.points([(name, value, stamp, step) for name, value in values.items()])

    def points(self, values: Sequence[tuple[str, float, int, int]]) -> None:
        """Log up to 1,000 metrics as they were measured: name, value, milliseconds since 1970, step. May be repeated.

        What MLflow refuses in a name becomes `_`, as in `mAP50(B)`.
        """
        batch = [Metric(_FORBIDDEN.sub("_", name), value, stamp, step) for name, value, stamp, step in values]
        self._write(lambda run_id: self._client.log_batch(run_id, batch))

    def scores(self, values: Mapping[str, float], source: str, dataset: tuple[str, str]) -> None:
        """Log what was measured of a registered version on a data set (its name and digest).

        The figures are bound to the logged model behind the version and to the data set, so that MLflow's pages of models
        keep scores on several data sets apart. A run has one value a name: scores on other data belong in runs of their own.
        """
        stamp, (name, digest) = get_current_time_millis(), dataset
        bound = {"dataset_name": name, "dataset_digest": digest[:_DIGEST_CHARACTERS], "model_id": logged_model_id(source)}

        def write(run_id: str) -> None:
            self._client.log_batch(
                run_id, [Metric(key, value, stamp, 0, **bound, run_id=run_id) for key, value in values.items()]
            )

        self._write(write)

    def tags(self, values: Mapping[str, str]) -> None:
        """Set tags, in one request."""
        entries = [RunTag(key, value) for key, value in values.items()]
        self._write(lambda run_id: self._client.log_batch(run_id, tags=entries))

    def rename(self, name: str) -> None:
        """Name the run anew."""
        self._write(lambda run_id: self._client.update_run(run_id, name=name))

    def figure(self, figure: Figure, name: str) -> None:
        """Log a Matplotlib figure as a picture; a character that no font here has becomes a box, in silence."""
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Glyph")
            self._write(lambda run_id: self._client.log_figure(run_id, figure, name))

    def image(self, image: Image, name: str) -> None:
        """Log a picture; its format is the name's."""
        self._write(lambda run_id: self._client.log_image(run_id, image, name))

    def file(self, path: Path, artifact_path: str) -> None:
        """Log a file as an artifact below `artifact_path`."""
        self._write(lambda run_id: self._client.log_artifact(run_id, str(path), artifact_path))

    def folder(self, folder: Path, artifact_path: str) -> None:
        """Log a folder's files as artifacts below `artifact_path`."""
        self._write(lambda run_id: self._client.log_artifacts(run_id, str(folder), artifact_path))

    def json(self, value: dict[str, Any] | list[Any], name: str) -> None:
        """Log a value as a JSON artifact."""
        self.text(json.dumps(value, indent=2), name)

    def text(self, text: str, name: str) -> None:
        """Log a text as an artifact."""
        self._write(lambda run_id: self._client.log_text(run_id, text, name))

    def _write(self, write: Callable[[str], object]) -> None:
        with self._mapped():
            try:
                write(self.run_id)
            except (MlflowException, HTTPError) as error:
                if self._follow_up is None or MARK not in str(error):
                    raise
                self.run_id, self._follow_up = self._follow_up(), None
                write(self.run_id)

    def dataset(self, name: str, digest: str, source: str, context: str) -> None:
        """Say which data set the run used; the whole digest goes into a tag, MLflow's field is too short for it."""
        about = {"mlflow.data.context": context, "modelyard.sha256": digest}
        tags = [InputTag(key, value) for key, value in about.items()]
        entry = DatasetInput(_dataset(name, digest, source)._to_mlflow_entity(), tags)  # noqa: SLF001 as `mlflow.log_input` does
        self._write(lambda run_id: self._client.log_inputs(run_id, [entry]))

    def model(self, prepared: Path, name: str, registered: str, task: str = "classify") -> int:
        """Log a prepared model folder of a task (`classify` or `detect`), register it, and return its version."""
        with self._mapped():
            info = Model.log(
                artifact_path=None,
                name=name,
                flavor=prepared_flavour,
                prepared=str(prepared),
                registered_model_name=registered,
                validate_serving_input=False,
                model_type=_MODEL_TYPES[task],
                tags={TASK_TAG: task},
            )
            return int(info.registered_model_version or 0)


def _dataset(name: str, digest: str, source: str) -> MetaDataset:
    code = CodeDatasetSource(tags={"mlflow.source.name": source})
    return MetaDataset(code, name=name, digest=digest[:_DIGEST_CHARACTERS])


class Tracker:
    """Runs of one experiment on one server.

    Runs that carry the tag `modelyard.kind` (checks of data, gates, scores on other data) are about trainings and are none:
    they lie in an experiment beside it, so that the list of trainings holds only trainings.
    """

    def __init__(self, uri: str, experiment: str) -> None:
        """Connect; the experiment is made if it is not there."""
        self._uri, self._name = connect(uri), experiment
        mlflow.set_tracking_uri(uri)
        mlflow.set_registry_uri(uri)
        self._client = MlflowClient()
        with mapping_errors(uri, f"experiment '{experiment}'"):
            self._experiment = mlflow.set_experiment(experiment).experiment_id
        self._checks = ""

    def find(self, tags: Mapping[str, str]) -> str | None:
        """A run of the experiment, or of that beside it, that carries these tags. Older releases had both in one."""
        wanted = " and ".join(f"tags.`{key}` = '{value}'" for key, value in tags.items())
        with mapping_errors(self._uri, "runs"):
            beside = self._client.get_experiment_by_name(checks_of(self._name))
            where = [self._experiment, *([beside.experiment_id] if beside else [])]
            runs = self._client.search_runs(where, wanted, max_results=1)
        return runs[0].info.run_id if runs else None

    def named(self, start: str, without: str = "") -> dict[str, dict[str, str]]:
        """The parameters of runs whose names begin like this, by name: the newest thousand, of a name the oldest.

        `without`: the run that asks.
        """
        if "'" in start:  # MLflow's filters cannot quote it
            return {}
        with mapping_errors(self._uri, "runs"):
            runs = self._client.search_runs([self._experiment], f"attributes.run_name LIKE '{start}%'", max_results=1000)
        return {run.info.run_name or "": dict(run.data.params) for run in runs if run.info.run_id != without}

    def run(self, name: str, tags: Mapping[str, str]) -> AbstractContextManager[RunLog]:
        """A new run: finished when the block ends, failed when it raises, killed when it is told to stop (Ctrl-C)."""
        return self._opened(name, {"run_name": name, "tags": dict(tags)}, trains=tags.get(KIND, SEARCH) == SEARCH)

    def reopen(self, run_id: str) -> AbstractContextManager[RunLog]:
        """A run that was broken off, running again; it ends as a new one does. Raises ModelyardError where it is deleted."""
        return self._opened(run_id, {"run_id": run_id}, trains=True)

    @contextmanager
    def _opened(self, name: str, start: Mapping[str, Any], *, trains: bool) -> Generator[RunLog]:
        mapped = partial(mapping_errors, self._uri, f"run '{name}'")
        mlflow.set_tracking_uri(self._uri)  # MLflow keeps both in globals, and another tracker may have been made since
        mlflow.set_registry_uri(self._uri)
        with mapped():
            if "run_id" not in start:
                start = {**start, "experiment_id": self._experiment if trains else self._checks_id()}
            opened = mlflow.start_run(**start, log_system_metrics=trains and _wants_system_metrics())
        log = RunLog(self._client, opened.info.run_id, mapped)
        try:
            yield log
        except BaseException as error:
            with suppress(ModelyardError), mapped():  # what went wrong first is what the user has to hear of
                mlflow.end_run("FAILED" if isinstance(error, Exception) else "KILLED")
                log.ended = True
            raise
        with mapped():
            mlflow.end_run("FINISHED")
            log.ended = True

    def end(self, run_id: str, status: str) -> None:
        """Say how a run ended whose process could not say it."""
        with mapping_errors(self._uri, f"run '{run_id}'"):
            self._client.set_terminated(run_id, status)

    def begin(self, name: str, tags: Mapping[str, str]) -> RunLog:
        """A new run beside others that are open: whoever begins it ends it with `end`."""
        mapped = partial(mapping_errors, self._uri, f"run '{name}'")
        with mapped():
            run_id = self._client.create_run(self._experiment, tags=dict(tags), run_name=name).info.run_id
        return RunLog(self._client, run_id, mapped)

    @contextmanager
    def resume(self, run_id: str) -> Generator[RunLog]:
        """An existing run, to add what was learnt of its model later; its status and times stay."""

        def follow_up() -> str:
            name = self._client.get_run(run_id).info.run_name
            tags = {KIND: "later", "modelyard.of": run_id}
            return self._client.create_run(self._checks_id(), tags=tags, run_name=f"{name}, later").info.run_id

        mapped = partial(mapping_errors, self._uri, f"run '{run_id}'")
        log = RunLog(self._client, run_id, mapped, follow_up)
        try:
            yield log
        finally:
            if log.run_id != run_id:
                with mapped():
                    self._client.set_terminated(log.run_id)

    def _checks_id(self) -> str:
        """The experiment beside this one. It is made when it is first needed, and restored where somebody deleted it."""
        if not self._checks:
            name = checks_of(self._name)
            beside = self._client.get_experiment_by_name(name)
            if beside is None:
                try:
                    self._checks = self._client.create_experiment(name)
                except MlflowException:  # another process was faster
                    beside = self._client.get_experiment_by_name(name)
                    if beside is None:
                        raise
            if beside is not None:
                self._checks = beside.experiment_id
                if beside.lifecycle_stage == LifecycleStage.DELETED:
                    self._client.restore_experiment(self._checks)
        return self._checks


def checks_of(experiment: str) -> str:
    """The experiment beside one of trainings; its name is none that a model can have."""
    return f"{experiment} (checks)"


def _wants_system_metrics() -> bool:
    """Whether a training's machine is watched: unless the user said no, every few seconds unless the user said how often."""
    os.environ.setdefault("MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL", str(_SAMPLE_S))
    return bool(MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING.get()) if MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING.is_set() else True
