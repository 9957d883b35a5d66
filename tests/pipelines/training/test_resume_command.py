"""`modelyard train` is killed while it trains, and `train --resume` ends it: one run, one version, one sum, each epoch once."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

sys.path.insert(0, str(Path(__file__).parents[2]))
from warm_commands import WarmCommands

from pipelines.data.catalog import DatasetCatalog
from pipelines.job.jobfile import Data
from registry.settings import Settings

JOB = {
    "model": "broken-off",
    "train": [{"kind": "torch", "arch": "small_cnn", "weights": "scratch", "epochs": 30, "imgsz": 32}],
}


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory, clips: Path) -> Path:
    """A folder with a job file and a home with its data set."""
    folder = tmp_path_factory.mktemp("resume")
    data = {"clips": str(clips), "checks": "off"}
    (folder / "modelyard.yaml").write_text(yaml.safe_dump(JOB | {"data": data}))
    catalog = DatasetCatalog(Settings(home=folder / ".modelyard").datasets)
    catalog.build(Data(clips=clips), catalog.folder_of("broken-off"), lambda *_: None)
    return folder


def test_a_training_that_is_killed_is_resumed_by_the_command(here: Path, mlflow_uri: str, warm: WarmCommands) -> None:
    from mlflow import MlflowClient

    environment = os.environ | {"MODELYARD_MLFLOW_URI": mlflow_uri}

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return warm.run(["train", *arguments], here, environment=environment)

    words = [sys.executable, "-m", "pipelines.cli.main", "train", "--trainers", "torch"]
    pipes = {"text": True, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    process, trainings = subprocess.Popen(words, cwd=here, env=environment, **pipes), here / ".modelyard" / "trainings"
    while not list(trainings.glob("*/checkpoints/**/*.pt")):
        assert process.poll() is None, process.communicate()
    process.send_signal(signal.SIGKILL)
    process.communicate()
    (folder,) = trainings.iterdir()

    refused = run("--resume", folder.name, "--trainers", "yolo")
    assert (refused.returncode, refused.stderr.count("\n")) == (2, 1), refused.stderr
    unknown = run("--resume", "nobody")
    assert unknown.returncode == 2
    assert "names no training that was broken off here" in unknown.stderr

    done = run("--resume", folder.name[:8], "--json")
    assert done.returncode == 0, done.stderr
    (event,) = json.loads(done.stdout)
    assert (event["run_id"], event["version"]) == (folder.name, 1)
    client = MlflowClient(mlflow_uri)
    assert client.get_run(folder.name).info.status == "FINISHED"
    steps = [point.step for point in client.get_metric_history(folder.name, "train_loss")]
    assert len(steps) == len(set(steps)), "an epoch was logged twice"
    assert len(client.search_model_versions("name='broken-off'")) == 1
    assert list(trainings.iterdir()) == []

    again = run("--resume", folder.name, "--json")
    assert again.returncode == 2
    assert f"run '{folder.name}'" in again.stdout + again.stderr
    assert "has ended well: it is broken-off/1" in again.stdout + again.stderr
