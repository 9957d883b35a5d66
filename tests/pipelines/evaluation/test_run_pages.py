"""The text on a run's page: written for runs that end well and for those that do not, and a person's own stays."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from pipelines.evaluation.describe import describe_broken, describe_in_mlflow
from registry.errors import UnavailableError
from registry.events import Flipped, Promoted, Trained, about
from registry.memory import MemoryLedger, MemoryStore
from registry.records import ModelVersion
from registry.reports.describe_run import NOTE
from registry.spending import TrainingFailed
from registry.stages import Stage

SPENT: dict[str, Any] = {"seconds": 35, "hardware": "local", "usd": Decimal("0.5"), "price_as_of": "2026-11-23"}


@pytest.fixture
def world(tmp_path: Path) -> tuple[MemoryStore, MemoryLedger, ModelVersion]:
    """A version that was trained."""
    (tmp_path / "model").mkdir()
    store, ledger = MemoryStore(), MemoryLedger()
    version = store.register("hand", tmp_path / "model", "r1")
    ledger.append(Trained(**about(version, "d"), trainer="torch", run_id="r1", dataset="d" * 64, **SPENT))
    return store, ledger, version


def note_of(store: MemoryStore, run_id: str = "r1") -> str:
    return store.run_tags(run_id).get(NOTE, "")


def test_the_run_of_a_version_is_described_with_it(world: tuple[MemoryStore, MemoryLedger, ModelVersion]) -> None:
    store, ledger, _ = world
    assert describe_in_mlflow(store, ledger, "hand", [1]) == ""
    assert "It became hand/1" in note_of(store)


def test_a_persons_own_text_on_a_run_stays(world: tuple[MemoryStore, MemoryLedger, ModelVersion]) -> None:
    store, ledger, _ = world
    store.note_run("r1", "Mine.")
    assert describe_in_mlflow(store, ledger, "hand", [1]) == ""
    assert describe_broken(store, "r1", None, resumable=True) == ""
    assert note_of(store) == "Mine."


def test_behind_a_promoted_version_the_run_says_what_it_said(world: tuple[MemoryStore, MemoryLedger, ModelVersion]) -> None:
    store, ledger, version = world
    fields = {**about(version, "d"), "stage": Stage.STAGING, "previous": None, "actor": "ada"}
    ledger.append(Promoted(**fields, findings=[]))
    ledger.append(Flipped(**fields))
    assert describe_in_mlflow(store, ledger, "hand", [1]) == ""
    assert note_of(store) == ""
    assert "staging" in store.description("hand", 1)


def test_a_run_that_broke_off_and_then_ended_well_says_the_latter(
    world: tuple[MemoryStore, MemoryLedger, ModelVersion],
) -> None:
    store, ledger, _ = world
    event = TrainingFailed(model="hand", trainer="torch", run_id="r1", **SPENT, reason="no memory")
    assert describe_broken(store, "r1", event, resumable=True) == ""
    assert "no memory" in note_of(store)
    assert "modelyard train --resume r1" in note_of(store)
    assert describe_in_mlflow(store, ledger, "hand", [1]) == ""
    assert "no memory" not in note_of(store)


def test_what_goes_wrong_with_the_copy_is_a_sentence(
    world: tuple[MemoryStore, MemoryLedger, ModelVersion], monkeypatch: pytest.MonkeyPatch
) -> None:
    store, ledger, _ = world

    def away(*_: object) -> None:
        raise UnavailableError("MLflow server", "does not answer", "start it")

    monkeypatch.setattr(store, "note_run", away)
    assert "does not answer" in describe_in_mlflow(store, ledger, "hand", [1])
    assert "does not answer" in describe_broken(store, "r1", None, resumable=False)
