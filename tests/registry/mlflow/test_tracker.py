"""What is learnt of a model after its promotion has a run of its own, where the first is closed."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from registry.errors import ModelyardError
from registry.mlflow.server.refusal import refuse
from registry.mlflow.tracker import Tracker
from registry.runs.rows import KIND


@pytest.fixture
def tracker(stores: Any, monkeypatch: pytest.MonkeyPatch) -> Tracker:
    monkeypatch.setattr("registry.mlflow.tracker.connect", lambda uri: uri)
    return Tracker(stores.uri, stores.name("experiment"))


def closing(monkeypatch: pytest.MonkeyPatch, run_id: str, method: str) -> None:
    """Have a method of MLflow's client refuse one run, as a server with admission does."""
    original: Callable[..., Any] = getattr(MlflowClient, method)

    def guarded(self: MlflowClient, run: str, *args: Any, **kwargs: Any) -> Any:
        if run == run_id:
            refuse("it is promoted")
        return original(self, run, *args, **kwargs)

    monkeypatch.setattr(MlflowClient, method, guarded)


def later_of(tracker: Tracker, run_id: str) -> list[Any]:
    condition = f"tags.`modelyard.of` = '{run_id}'"
    return MlflowClient().search_runs([tracker._checks_id()], condition)


def test_what_a_closed_run_refuses_goes_to_a_further_run_with_all_that_follows(
    tracker: Tracker, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with tracker.run("torch 1", {}) as first:
        first.metrics({"bundle_mb": 3.0})
    (tmp_path / "report").mkdir()
    (tmp_path / "report" / "report.txt").write_text("report")
    with tracker.resume(first.run_id) as run:
        run.tags({"before": "x"})
        closing(monkeypatch, first.run_id, "log_batch")
        run.metrics({"bundle_mb": 4.0})
        run.folder(tmp_path / "report", "parity")
        run.text("t", "t.txt")
    (later,) = later_of(tracker, first.run_id)
    assert (later.info.run_name, later.info.status) == ("torch 1, later", "FINISHED")
    assert later.data.metrics == {"bundle_mb": 4.0}
    assert later.data.tags["modelyard.kind"] == "later"
    assert {file.path for file in MlflowClient().list_artifacts(later.info.run_id)} == {"parity", "t.txt"}
    before = MlflowClient().get_run(first.run_id).data
    assert (before.metrics, before.tags["before"]) == ({"bundle_mb": 3.0}, "x")


def test_an_open_run_gets_no_other(tracker: Tracker) -> None:
    with tracker.run("torch 1", {}) as first:
        pass
    with tracker.resume(first.run_id) as run:
        run.metrics({"top1": 1.0})
    assert later_of(tracker, first.run_id) == []


def test_another_refusal_stays_an_error(tracker: Tracker, monkeypatch: pytest.MonkeyPatch) -> None:
    with tracker.run("torch 1", {}) as first:
        pass

    def refused(*_: object, **__: object) -> None:
        raise MlflowException("Permission denied")

    monkeypatch.setattr(MlflowClient, "log_batch", refused)
    with pytest.raises(ModelyardError, match="Permission denied"), tracker.resume(first.run_id) as run:
        run.tags({"a": "b"})
    assert later_of(tracker, first.run_id) == []


def runs_of(experiment: str) -> dict[str, Any]:
    """The runs of an experiment by name; none where it is not there."""
    made = MlflowClient().get_experiment_by_name(experiment)
    return {run.info.run_name: run for run in MlflowClient().search_runs([made.experiment_id])} if made else {}


@pytest.mark.parametrize("kind", ["data", "gates", "evaluation", "later", "anything that comes after"])
def test_the_list_of_trainings_holds_only_trainings(kind: str, tracker: Tracker) -> None:
    with tracker.run("torch", {}):
        pass
    with tracker.run("about one", {KIND: kind, "mark": kind}) as beside:
        pass
    assert set(runs_of(tracker._name)) == {"torch"}
    assert set(runs_of(f"{tracker._name} (checks)")) == {"about one"}
    assert tracker.find({"mark": kind}) == beside.run_id


def test_what_an_older_release_put_among_the_trainings_is_still_there_to_be_used(tracker: Tracker) -> None:
    old = MlflowClient().create_run(tracker._experiment, tags={KIND: "gates", "modelyard.row": "abc"}).info.run_id
    assert tracker.find({"modelyard.row": "abc"}) == old
    assert tracker.find({"modelyard.row": "abd"}) is None


def test_an_experiment_of_checks_that_somebody_deleted_comes_back_with_its_runs(tracker: Tracker, stores: Any) -> None:
    with tracker.run("data", {KIND: "data"}) as first:
        pass
    MlflowClient().delete_experiment(tracker._checks_id())
    again = Tracker(stores.uri, tracker._name)
    with again.run("data again", {KIND: "data"}):
        pass
    assert set(runs_of(f"{tracker._name} (checks)")) == {"data", "data again"}
    assert again.find({KIND: "data"}) is not None
    assert MlflowClient().get_run(first.run_id).info.lifecycle_stage == "active"


def test_two_processes_that_need_the_experiment_of_checks_at_once_get_the_same(
    tracker: Tracker, monkeypatch: pytest.MonkeyPatch
) -> None:
    create = MlflowClient.create_experiment

    def slower(self: MlflowClient, name: str) -> str:
        create(self, name)  # the other process
        return create(self, name)

    monkeypatch.setattr(MlflowClient, "create_experiment", slower)
    with tracker.run("data", {KIND: "data"}):
        pass
    assert set(runs_of(f"{tracker._name} (checks)")) == {"data"}


def test_a_metric_whose_name_mlflow_would_refuse_is_logged_all_the_same(tracker: Tracker) -> None:
    with tracker.run("yolo", {}) as run:
        run.metrics({"metrics/mAP50(B)": 0.5, "lr/pg0": 0.1}, 2)
    assert MlflowClient().get_run(run.run_id).data.metrics == {"metrics/mAP50_B_": 0.5, "lr/pg0": 0.1}


def test_parameters_and_tags_go_in_one_request_each(tracker: Tracker, monkeypatch: pytest.MonkeyPatch) -> None:
    calls, original = list[str](), MlflowClient.log_batch

    def counted(self: MlflowClient, *args: Any, **kwargs: Any) -> Any:
        calls.append("request")
        return original(self, *args, **kwargs)

    monkeypatch.setattr(MlflowClient, "log_batch", counted)
    with tracker.run("torch", {}) as run:
        run.params({f"p{number}": number for number in range(130)})
        run.tags({"a": "1", "b": "2"})
    read = MlflowClient().get_run(run.run_id).data
    assert read.params == {f"p{number}": str(number) for number in range(130)}
    assert (read.tags["a"], read.tags["b"]) == ("1", "2")
    assert len(calls) == 3


def test_a_run_is_renamed_and_others_are_known_by_name(tracker: Tracker) -> None:
    with tracker.run("torch resnet18", {}) as run:
        run.params({"seed": 1})
        run.rename("torch resnet18 224")
    with tracker.run("yolo", {}):
        pass
    assert tracker.named("torch") == {"torch resnet18 224": {"seed": "1"}}
    assert tracker.named("o'clock") == {}


@pytest.mark.parametrize(("setting", "watched"), [(None, True), ("true", True), ("false", False)])
def test_a_trainings_machine_is_watched_unless_the_user_says_no(
    setting: str | None, watched: bool, tracker: Tracker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING", raising=False)
    monkeypatch.setenv("MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL", "1")
    if setting:
        monkeypatch.setenv("MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING", setting)
    with tracker.run("torch", {}) as run:
        deadline = time.monotonic() + (20 if watched else 0.1)
        while time.monotonic() < deadline and not (read := MlflowClient().get_run(run.run_id).data.metrics):
            time.sleep(0.1)
    assert ("system/cpu_utilization_percentage" in read) == watched
    with tracker.run("data", {KIND: "data"}):
        assert "SystemMetricsMonitor" not in {thread.name for thread in threading.enumerate()}
