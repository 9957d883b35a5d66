"""What an answer could as well mean is what the evaluation's prediction sets say, for the version that answered."""

from __future__ import annotations

from decimal import Decimal

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from pipelines.evaluation.conformal import sets_of
from pipelines.queries.answers import Answer
from pipelines.queries.could_be import PredictionSetOf
from registry.events import Evaluated, Trained, about
from registry.memory import MemoryLedger
from registry.records import Evaluation, ModelVersion, PredictionSets

LABELS = ("fist", "hand", "none")
probabilities = st.lists(st.floats(0, 1), min_size=3, max_size=3)


def ledger_with(thresholds: dict[int, float | None], *, guaranteed: bool = True) -> MemoryLedger:
    """A ledger of versions that were trained and evaluated, each with its threshold or without prediction sets."""
    ledger = MemoryLedger()
    for number, threshold in thresholds.items():
        version = about(ModelVersion("hand", number, number), "d")
        run = {"run_id": f"{number:032x}", "dataset": "d", "seconds": 60, "hardware": "local: this machine"}
        ledger.append(Trained(**version, trainer="torch", usd=Decimal(0), price_as_of="2026-11-22", **run))
        sets = None if threshold is None else _sets(threshold, guaranteed=guaranteed)
        facts = {"dataset": "d", "split": "test", "images": 10, "clips": 5, "classes": [], "confusion": []}
        evaluation = Evaluation(metrics={"top1": 0.9}, interval=(0.7, 0.99), sets=sets, **facts)
        ledger.append(Evaluated(**version, evaluation=evaluation))
    return ledger


def _sets(threshold: float, *, guaranteed: bool) -> PredictionSets:
    figures = {"coverage": 0.95, "interval": (0.9, 1.0), "broken": False, "mean_size": 1.2, "unsure": 0.2}
    return PredictionSets(alpha=0.1, split="val", clips=9, threshold=threshold, guaranteed=guaranteed, **figures)


def answered(row: list[float], version: int) -> Answer:
    best = LABELS[int(np.argmax(row))]
    by = f"hand/{version} at http://127.0.0.1:1"
    return Answer(
        image="a.png", label=best, probability=max(row), probabilities=dict(zip(LABELS, row, strict=True)), served_by=by
    )


@given(row=probabilities, thresholds=st.tuples(st.floats(0, 1), st.floats(0, 1)), version=st.sampled_from([1, 2]))
def test_it_is_the_set_of_the_version_that_answered(row: list[float], thresholds: tuple[float, float], version: int) -> None:
    sets = PredictionSetOf("hand", lambda: ledger_with({1: thresholds[0], 2: thresholds[1]}).entries("hand"))
    member = sets_of(np.array([row]), thresholds[version - 1])[0]
    assert set(sets.of(answered(row, version)).could_be or []) == {
        label for label, its in zip(LABELS, member, strict=True) if its
    }


def test_nothing_is_said_where_nothing_was_measured() -> None:
    sets = PredictionSetOf("hand", lambda: ledger_with({1: 0.4, 3: None}).entries("hand"))
    row = [0.5, 0.45, 0.05]
    assert sets.of(answered(row, 1)).could_be == ["fist", "hand"]
    assert sets.of(answered(row, 3)).could_be is None
    assert sets.of(answered(row, 7)).could_be is None
    assert sets.of(Answer(image="a.png", error="is empty")).could_be is None
    detected = Answer(image="a.png", label="cup", probability=0.5, probabilities=None, served_by="hand/1 here")
    assert sets.of(detected).could_be is None


def test_nothing_is_said_where_too_few_clips_asked_for_a_promise() -> None:
    sets = PredictionSetOf("hand", lambda: ledger_with({1: 0.4}, guaranteed=False).entries("hand"))
    assert sets.of(answered([0.36, 0.34, 0.3], 1)).could_be is None
