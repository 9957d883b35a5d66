"""A project trains on a pod: MLflow's own command, a real agent, a real training, over HTTP to the double."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from decimal import Decimal
from pathlib import Path

import httpx
import pytest
import yaml

from registry.events import Trained
from registry.opening import ledger_of
from registry.settings import Settings
from serving.fakes.both import SECRET, running

pytestmark = [pytest.mark.journey]
LAUNCH = {"gpus": ["NVIDIA RTX A4000"], "max_usd": 1, "image": "me/train:1", "device": "cpu"}
JOB = {"model": "podded", "train": [{"kind": "torch", "arch": "small_cnn", "epochs": 4, "imgsz": 32}]}


def command(env: dict[str, str], folder: Path, *words: str) -> str:
    done = subprocess.run([sys.executable, "-m", *words], env=env, cwd=folder, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


def outcome(client, experiment: str):
    """The project's run, once it has ended."""
    for _ in range(300):
        (run,) = client.search_runs([client.get_experiment_by_name(experiment).experiment_id], "tags.modelyard.quote != ''")
        if run.info.status != "RUNNING":
            return run
        time.sleep(1)
    raise AssertionError(run)


def test_a_project_trains_on_a_pod_and_is_registered_here(dataset, mlflow_uri: str, tmp_path: Path) -> None:
    from mlflow import MlflowClient

    home, client = tmp_path / "home", MlflowClient(mlflow_uri)
    (tmp_path / "modelyard.yaml").write_text(yaml.safe_dump(JOB))
    with running(tmp_path / "clouds", 0, 100, None) as variables:
        env = os.environ | variables | {"MLFLOW_TRACKING_URI": mlflow_uri, "MODELYARD_MLFLOW_URI": mlflow_uri}
        parameters = ["-P", f"data={dataset.folder}", "-P", f"home={home}"]
        options = ["-b", "runpod", "--backend-config", json.dumps(LAUNCH), "--experiment-name", "projects"]
        command(env, tmp_path, "mlflow", "run", ".", *options, *parameters)  # it returns at once
        project = outcome(client, "projects")
        (log,) = (tmp_path / "clouds" / "pods").glob("*/log")
        assert project.info.status == "FINISHED", (project.data.tags, log.read_text())
        assert project.data.tags["modelyard.quote"].startswith("a pod with NVIDIA RTX A4000 at $0.2500/h")
        assert project.data.tags["modelyard.versions"] == "podded/1"
        headers = {"Authorization": f"Bearer {variables['RUNPOD_API_KEY']}"}
        answers = {
            path: httpx.get(f"{variables['MODELYARD_RUNPOD_URL']}/v2/{path}", headers=headers).json()
            for path in ("pods", "account/secrets")
        }
        assert answers["pods"]["pods"] == []
        assert [secret["name"] for secret in answers["account/secrets"]["secrets"]] == [SECRET], "the account's own alone"
    (event,) = [row.event for row in ledger_of(Settings(home=home)).entries("podded") if isinstance(row.event, Trained)]
    assert event.hardware == "runpod: NVIDIA RTX A4000 x 1"
    assert event.usd == pytest.approx(Decimal(event.seconds) * Decimal("0.25") / 3600, abs=Decimal("0.00001"))
    assert event.dataset == dataset.manifest.digest
    assert [metric.step for metric in client.get_metric_history(event.run_id, "val_top1")] == [1, 2, 3, 4]
    assert client.get_run(event.run_id).data.tags["mlflow.parentRunId"] == project.info.run_id
    data = log.parent / "data"
    assert sorted(path.name for path in data.iterdir()) == ["manifest.json", "train", "val"]
    assert {row["split"] for row in json.loads((data / "manifest.json").read_text())["frames"]} == {"train", "val"}
    assert variables["RUNPOD_API_KEY"] not in log.read_text()
