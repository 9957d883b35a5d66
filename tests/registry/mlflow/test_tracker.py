"""What is learnt of a model after its promotion has a run of its own, where the first is closed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from registry.errors import ModelyardError
from registry.mlflow.server.refusal import refuse
from registry.mlflow.tracker import Tracker


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
    return MlflowClient().search_runs([tracker._experiment], condition)


def test_what_a_closed_run_refuses_goes_to_a_further_run_with_all_that_follows(
    tracker: Tracker, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with tracker.run("torch 1", {}) as first:
        first.metrics({"bundle_mb": 3.0})
    (tmp_path / "report").mkdir()
    (tmp_path / "report" / "report.txt").write_text("report")
    closing(monkeypatch, first.run_id, "log_batch")
    with tracker.resume(first.run_id) as run:
        run.tags({"before": "x"})
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

    def refused(*_: object) -> None:
        raise MlflowException("Permission denied")

    monkeypatch.setattr(MlflowClient, "set_tag", refused)
    with pytest.raises(ModelyardError, match="Permission denied"), tracker.resume(first.run_id) as run:
        run.tags({"a": "b"})
    assert later_of(tracker, first.run_id) == []
