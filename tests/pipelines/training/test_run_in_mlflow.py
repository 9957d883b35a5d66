"""What MLflow shows of a run that failed, was told to stop, or trained a detector; and what is not MLflow's fault."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
import requests

from pipelines.training.train import train
from pipelines.training.trainers.contract import Watch
from pipelines.training.training import Training
from registry.errors import UnavailableError
from registry.memory import MemoryLedger, MemoryStore
from registry.money.prices import local_price
from registry.records import Actor, DataVerdict, Record
from registry.settings import Settings


@pytest.mark.parametrize(
    "error",
    [
        requests.exceptions.ConnectionError("weights.example: name not known"),
        ConnectionResetError(104, "reset"),
        TimeoutError(),
    ],
)
def test_a_trainers_own_network_trouble_is_not_mlflows(error: OSError, dataset: object, mlflow_uri: str) -> None:
    from mlflow import MlflowClient

    from registry.mlflow.tracker import Tracker

    def fit(*_: object) -> None:
        raise error

    tracker, ledger = Tracker(mlflow_uri, "offline"), MemoryLedger()
    verdict, price = DataVerdict(dataset="x", holds=True, errors=0, warnings=0), local_price(Settings())
    training = Training(SimpleNamespace(fit=fit), Record(), "torch", dataset, "hand", price, Actor("ada"), verdict)
    with pytest.raises(UnavailableError, match=rf"^torch trainer: could not reach .*{type(error).__name__}"):
        train(MemoryStore(), ledger, tracker, training, Watch(), lambda _: None)
    (row,) = ledger.entries()
    run = MlflowClient(mlflow_uri).get_run(row.event.run_id)
    assert run.info.status == "FAILED"
    assert run.data.tags["modelyard.task"] == "classify"
    assert "cost_usd" in run.data.metrics


@pytest.mark.parametrize(
    ("error", "status"), [(KeyboardInterrupt(), "KILLED"), (SystemExit(1), "KILLED"), (ValueError("x"), "FAILED")]
)
def test_a_run_that_is_told_to_stop_is_killed_in_mlflow_and_no_later_run_lies_within_it(
    error: BaseException, status: str, mlflow_uri: str
) -> None:
    import mlflow

    from registry.mlflow.tracker import Tracker

    tracker = Tracker(mlflow_uri, "stopped")
    with pytest.raises(type(error)), tracker.run("torch", {}) as run:
        raise error
    assert mlflow.MlflowClient(mlflow_uri).get_run(run.run_id).info.status == status
    assert mlflow.active_run() is None
    with tracker.run("torch", {}) as run:
        pass
    assert mlflow.MlflowClient(mlflow_uri).get_run(run.run_id).info.status == "FINISHED"


def test_ctrl_c_stays_ctrl_c_when_mlflow_is_away(monkeypatch: pytest.MonkeyPatch, mlflow_uri: str) -> None:
    import mlflow

    from registry.mlflow.tracker import Tracker

    def away(*_: object) -> None:
        raise requests.exceptions.ConnectionError("refused")

    tracker = Tracker(mlflow_uri, "away")
    with pytest.raises(KeyboardInterrupt), tracker.run("torch", {}):
        monkeypatch.setattr(mlflow, "end_run", away)
        raise KeyboardInterrupt
    monkeypatch.undo()
    mlflow.end_run()


def test_a_detector_is_logged_as_one(tmp_path: Path, mlflow_uri: str) -> None:
    import torch
    from mlflow import MlflowClient

    from registry.mlflow.package import package_torch
    from registry.mlflow.tracker import Tracker

    tracker, client = Tracker(mlflow_uri, "tasks"), MlflowClient(mlflow_uri)
    package_torch(torch.nn.Identity(), tmp_path / "model", 8, [(-1, 3)])
    for task, kind in (("detect", "detector"), ("classify", "classifier")):
        with tracker.run("yolo", {}) as run:
            number = run.model(tmp_path / "model", "yolo", f"task-{task}", task)
        version = client.get_model_version(f"task-{task}", str(number))
        logged = client.get_logged_model(version.source.removeprefix("models:/").split("/")[0])
        assert (logged.model_type, logged.tags["modelyard.task"]) == (kind, task)
