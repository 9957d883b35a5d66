"""MLflow's project backend: `mlflow run . -b runpod --backend-config runpod.json` trains a project's job on a pod.

A project is a folder with a job file. MLflow's command returns as soon as the launch is under way, so a process of its own
(`project_run`) sees it through and says in the MLflow run how it ended.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from difflib import get_close_matches
from getpass import getuser
from pathlib import Path
from typing import Any

import click
import yaml
from mlflow.entities import RunStatus
from mlflow.exceptions import MlflowException
from mlflow.projects import SubmittedRun
from mlflow.projects.backend.abstract_backend import AbstractBackend
from mlflow.projects.utils import _fetch_project
from mlflow.tracking import MlflowClient
from mlflow.utils.mlflow_tags import MLFLOW_SOURCE_NAME, MLFLOW_SOURCE_TYPE, MLFLOW_USER

from pipelines.job.jobfile import Job, parse_job
from pipelines.job.launch_runpod import RunPodLaunch
from pipelines.job.yaml_file import read_yaml
from pipelines.training.launchers.runpod import surroundings
from pipelines.training.launchers.runpod_quote import quote_pods
from registry.errors import InputError, ModelyardError, RefusedError, UnavailableError
from registry.runs.rows import KIND
from registry.settings import read_settings

WORKER = (sys.executable, "-P", "-m", "pipelines.plugins.project_run")
_ENTRY_POINTS = ("main", "train")
_PARAMETERS = ("trainers", "data", "home", "job")
_MLFLOWS = frozenset({"ENV_MANAGER", "SYNCHRONOUS", "DOCKER_ARGS", "STORAGE_DIR", "build_image", "docker_auth"})
"""Keys that MLflow itself adds to every backend's configuration."""
_CANCEL_S = 2400.0
"""Ending a pod is tried for half an hour."""


class ProjectError(MlflowException, click.ClickException):
    """An error of ours, as MLflow's callers expect it, and as its command line shows it: one line."""

    exit_code = 2


class RefusedProjectError(ProjectError):
    """A cap said no: the question was fine."""

    exit_code = 1


class PodRun(SubmittedRun):
    """A launch under way. Its process goes on without whoever submitted it."""

    def __init__(self, run_id: str, process: subprocess.Popen[bytes]) -> None:
        """The MLflow run, and the process that sees it through."""
        super().__init__()
        self._run_id, self._process, self._cancelled = run_id, process, False

    @property
    def run_id(self) -> str:  # pyright: ignore[reportIncompatibleMethodOverride]
        """The MLflow run's id."""
        return self._run_id

    def wait(self) -> bool:  # pyright: ignore[reportIncompatibleMethodOverride] MLflow annotates nothing
        """Wait for its end; whether it trained."""
        return self._process.wait() == 0

    def get_status(self) -> str:  # pyright: ignore[reportIncompatibleMethodOverride]
        """RUNNING, FINISHED, FAILED or KILLED."""
        code = self._process.poll()
        if code is None:
            return RunStatus.to_string(RunStatus.RUNNING)
        if code == 0:
            return RunStatus.to_string(RunStatus.FINISHED)
        return RunStatus.to_string(RunStatus.KILLED if self._cancelled else RunStatus.FAILED)

    def cancel(self) -> None:
        """End it as Ctrl-C would, and wait until its pod is terminated. The pod ends itself where even that fails."""
        if self._process.poll() is not None:
            return
        self._cancelled = True
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGINT)
        try:
            self._process.wait(_CANCEL_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


class RunPodBackend(AbstractBackend):
    """The backend `runpod`."""

    def run(  # noqa: PLR0913, PLR0917 MLflow's signature  # pyright: ignore[reportIncompatibleMethodOverride]
        self,
        project_uri: str,
        entry_point: str,
        params: Mapping[str, Any] | None,
        version: str | None,
        backend_config: Mapping[str, Any],
        tracking_uri: str,
        experiment_id: str,
    ) -> PodRun:
        """Quote, then start it in the background. The MLflow run is made only for what can be launched.

        Raises ProjectError for what cannot be: a wrong key, a GPU that there is not, a job file that is none; and
        RefusedProjectError for a cap that does not pay for a pod.
        """
        params = params or {}
        with _ours():
            _check_parameters(params)
            if not tracking_uri.startswith(("http://", "https://")):
                raise UnavailableError(
                    "MLFLOW_TRACKING_URI", f"'{tracking_uri}' is no server", "run `modelyard up` and name its"
                )
            if entry_point not in _ENTRY_POINTS:
                raise InputError(f"-e {entry_point}", "is no entry point of a Modelyard project", "leave it out")
            folder = Path(_fetch_project(project_uri, version))
            settings = read_settings(Path(params["home"]) if "home" in params else None)
            job, document = _job(folder, str(params.get("job", "modelyard.yaml")), backend_config)
            assert isinstance(job.launch, RunPodLaunch)  # noqa: S101 `_job` sees to it
            quote = quote_pods(surroundings(settings, lambda _: None).client, job.launch)
        run_id = _create_run(MlflowClient(tracking_uri), experiment_id, project_uri, params, str(quote))
        work = Path(tempfile.mkdtemp(prefix="modelyard-project-"))
        (work / "job.yaml").write_text(yaml.safe_dump(document))
        arguments = [f"--{name}={params[name]}" for name in ("trainers", "data", "home") if name in params]
        order = {"run_id": run_id, "tracking_uri": tracking_uri, "arguments": arguments, "folder": str(folder)}
        (work / "order.json").write_text(json.dumps(order))
        with (work / "log").open("wb") as log:
            process = subprocess.Popen(
                [*WORKER, str(work)], stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, cwd=folder
            )
        return PodRun(run_id, process)


def _create_run(client: MlflowClient, experiment_id: str, uri: str, params: Mapping[str, Any], quote: str) -> str:
    """The project's run; each training is one of its own below it. MLflow's own way would want an MLproject."""
    tags = {MLFLOW_SOURCE_NAME: uri, MLFLOW_SOURCE_TYPE: "PROJECT", MLFLOW_USER: getuser(), "modelyard.quote": quote}
    run_id = client.create_run(experiment_id, tags={**tags, KIND: "project"}).info.run_id
    for name, value in params.items():
        client.log_param(run_id, name, value)
    return run_id


def _check_parameters(params: Mapping[str, Any]) -> None:
    for name in params:
        if name not in _PARAMETERS:
            near = get_close_matches(name, _PARAMETERS, n=1)
            remedy = f"did you mean '{near[0]}'?" if near else f"the parameters are {', '.join(_PARAMETERS)}"
            raise InputError(f"-P {name}", "is not a parameter of a Modelyard project", remedy)


def _job(folder: Path, name: str, backend_config: Mapping[str, Any]) -> tuple[Job, dict[str, Any]]:
    """The project's job with the backend's configuration over its `launch:`, and as the document that is trained from."""
    path = folder / name
    raw = read_yaml(path, "name the project's job file with `-P job=FILE`")
    document: dict[str, Any] = raw if isinstance(raw, dict) else {}
    own = document.get("launch")
    base = own if isinstance(own, dict) and own.get("kind") == "runpod" else {}
    given = {key: value for key, value in backend_config.items() if key not in _MLFLOWS}
    document["launch"] = {**base, **given, "kind": "runpod"}
    return parse_job(document, f"{path} with --backend-config"), document


@contextmanager
def _ours() -> Iterator[None]:
    try:
        yield
    except ModelyardError as error:
        kind = RefusedProjectError if isinstance(error, RefusedError) else ProjectError
        raise kind(str(error)) from error
