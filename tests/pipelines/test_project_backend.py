"""`mlflow run . -b runpod`: quoted before anything is made, seen through without whoever submitted it, cancelled as by Ctrl-C."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "contracts"))
from pod_world import PodWorld

from pipelines.plugins import project_backend
from serving.fakes.http import listening
from serving.fakes.runpod.app import runpod_double

LAUNCH = {"gpus": ["NVIDIA A40"], "max_usd": "1", "image": "me/train:1"}
TRAINED = json.dumps([{"run_id": "RUN", "model": "hand", "version": 3, "usd": "0.25"}])


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> Iterator[PodWorld]:
    world = PodWorld()
    with listening(runpod_double(lambda _: None, world.clock, pods=world.cloud).app) as url:
        monkeypatch.setenv("MODELYARD_RUNPOD_URL", url)
        monkeypatch.setenv("RUNPOD_API_KEY", "rpa_double")
        yield world


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "modelyard.yaml").write_text("model: hand\ntrain: [{kind: torch}]\n")
    return tmp_path


def submit(project: Path, uri: str, params: dict | None = None, **config: object):
    import mlflow

    mlflow.set_tracking_uri(uri)
    mlflow.set_registry_uri(uri)
    options = {"backend": "runpod", "backend_config": LAUNCH | config, "experiment_name": "projects", "synchronous": False}
    return mlflow.projects.run(str(project), parameters=params, **options)


def standing_in(monkeypatch: pytest.MonkeyPatch, folder: Path, training: str) -> None:
    """The worker as it is, with a script in place of `modelyard train`."""
    (folder / "training.py").write_text(training)
    (folder / "worker.py").write_text(
        f"import sys\nfrom pathlib import Path\nfrom pipelines.plugins import project_run\n"
        f"project_run.COMMAND = (sys.executable, {str(folder / 'training.py')!r})\n"
        f"sys.exit(project_run.see_through(Path(sys.argv[1])))\n"
    )
    monkeypatch.setattr(project_backend, "WORKER", (sys.executable, str(folder / "worker.py")))


def run_of(uri: str, run_id: str):
    from mlflow import MlflowClient

    return MlflowClient(uri).get_run(run_id)


def test_a_run_is_seen_through_and_says_what_it_came_to(world, project, mlflow_uri, monkeypatch, tmp_path: Path) -> None:
    from mlflow import MlflowClient

    client = MlflowClient(mlflow_uri)
    training = client.create_run(client.create_experiment("hand-of-project")).info.run_id
    script = f"import sys, json\nprint({TRAINED!r}.replace('RUN', {training!r}))\nprint(sys.argv[1:], file=sys.stderr)"
    standing_in(monkeypatch, tmp_path, script)
    submitted = submit(project, mlflow_uri, {"trainers": "torch"})
    assert submitted.wait()
    assert submitted.get_status() == "FINISHED"
    run = run_of(mlflow_uri, submitted.run_id)
    assert run.info.status == "FINISHED"
    assert run.data.tags["modelyard.versions"] == "hand/3"
    assert run.data.tags["modelyard.quote"].startswith("a pod with NVIDIA A40 at $0.4400/h")
    assert run.data.metrics["cost_usd"] == 0.25
    assert run_of(mlflow_uri, training).data.tags["mlflow.parentRunId"] == submitted.run_id
    assert [item.path for item in client.list_artifacts(submitted.run_id)] == ["train.log"]


def test_a_training_that_fails_fails_the_run_with_its_last_line(
    world, project, mlflow_uri, monkeypatch, tmp_path: Path
) -> None:
    standing_in(monkeypatch, tmp_path, "import sys\nsys.exit('modelyard: launch: no host; try later')")
    submitted = submit(project, mlflow_uri)
    assert not submitted.wait()
    assert submitted.get_status() == "FAILED"
    run = run_of(mlflow_uri, submitted.run_id)
    assert (run.info.status, run.data.tags["modelyard.outcome"]) == ("FAILED", "modelyard: launch: no host; try later")


def test_cancelling_is_ctrl_c_to_the_training_and_waits_for_its_end(world, project, mlflow_uri, monkeypatch, tmp_path) -> None:
    ended = tmp_path / "ended"
    script = (
        f"import time, pathlib\ntry:\n    pathlib.Path({str(tmp_path / 'began')!r}).touch()\n    time.sleep(600)\n"
        f"except KeyboardInterrupt:\n    time.sleep(0.3)\n    pathlib.Path({str(ended)!r}).touch()\n    raise SystemExit(130)"
    )
    standing_in(monkeypatch, tmp_path, script)
    submitted = submit(project, mlflow_uri)
    assert submitted.get_status() == "RUNNING"
    until = time.monotonic() + 120
    while not (tmp_path / "began").exists() and time.monotonic() < until:
        time.sleep(0.05)
    submitted.cancel()
    assert ended.exists()  # its pod was ended first
    assert submitted.get_status() == "KILLED"
    assert run_of(mlflow_uri, submitted.run_id).info.status == "KILLED"
    submitted.cancel()  # a second time changes nothing


@pytest.mark.parametrize(
    ("asked", "message", "code"),
    [
        (({}, {"max_usd": "0.01"}), "pays for 1.4 minutes", 1),
        (({}, {"gpus": ["A4000"]}), "did you mean 'NVIDIA RTX A4000'", 2),
        (({}, {"gpuz": ["A4000"]}), "did you mean 'gpus'", 2),
        (({"trainer": "torch"}, {}), "did you mean 'trainers'", 2),
        (({"job": "other.yaml"}, {}), "other.yaml", 2),
    ],
)
def test_what_cannot_be_launched_makes_no_run(asked, message, code, world, project, mlflow_uri) -> None:
    from mlflow import MlflowClient

    client, (params, config) = MlflowClient(mlflow_uri), asked
    with pytest.raises(project_backend.ProjectError, match=message) as error:
        submit(project, mlflow_uri, params, **config)
    assert error.value.exit_code == code
    experiment = client.get_experiment_by_name("projects")
    assert client.search_runs([experiment.experiment_id], "attributes.status = 'RUNNING'") == []


@pytest.mark.parametrize(
    ("key", "message"), [(None, "RUNPOD_API_KEY: is not set"), ("rpa_wrong", "RUNPOD_API_KEY to a key that is valid")]
)
def test_without_a_good_key_it_is_one_line(key, message, world, project, mlflow_uri, monkeypatch) -> None:
    monkeypatch.delenv("RUNPOD_API_KEY") if key is None else monkeypatch.setenv("RUNPOD_API_KEY", key)
    with pytest.raises(project_backend.ProjectError, match=message):
        submit(project, mlflow_uri)


def test_a_file_store_is_refused_since_registering_needs_a_server(world, project, tmp_path: Path) -> None:
    with pytest.raises(project_backend.ProjectError, match="is no server"):
        project_backend.RunPodBackend().run(str(project), "main", None, None, LAUNCH, f"sqlite:///{tmp_path}/x.db", "0")


def test_another_entry_point_is_refused(world, project, mlflow_uri) -> None:
    with pytest.raises(project_backend.ProjectError, match="-e evaluate: is no entry point"):
        project_backend.RunPodBackend().run(str(project), "evaluate", {}, None, LAUNCH, mlflow_uri, "0")
