"""Evidence is about these bytes, this version, and images that training never saw."""

from __future__ import annotations

from decimal import Decimal

import pytest

from registry.events import Evaluated, Trained, about
from registry.memory import MemoryLedger
from registry.promotion.evidence import gather
from registry.records import Evaluation, ModelVersion

VERSION = ModelVersion("hand", 1, 100)


def trained(version: ModelVersion = VERSION, digest: str = "bytes") -> Trained:
    facts = {"trainer": "torch", "run_id": "r", "dataset": "data", "seconds": 1, "hardware": "h", "price_as_of": "x"}
    return Trained(**about(version, digest), usd=Decimal("0.5"), **facts)


def scored(version: ModelVersion = VERSION, digest: str = "bytes", split: str = "test", dataset: str = "data") -> Evaluated:
    facts = {"images": 10, "clips": 5, "classes": [], "confusion": [], "interval": (0.8, 1.0), "metrics": {"top1": 0.9}}
    return Evaluated(**about(version, digest), evaluation=Evaluation(dataset=dataset, split=split, **facts))


def gathered(*events: Evaluated | Trained):
    ledger = MemoryLedger()
    for event in events:
        ledger.append(event)
    return gather(ledger.entries(), VERSION, "bytes")


def test_the_test_split_of_its_own_data_counts() -> None:
    evidence = gathered(trained(), scored())
    assert evidence.metric("top1") == 0.9
    assert evidence.train_usd == Decimal("0.5")


@pytest.mark.parametrize(
    "event",
    [
        scored(split="train"),
        scored(split="val"),
        scored(dataset="another"),
        scored(digest="other bytes"),
        scored(version=ModelVersion("hand", 1, 999)),
        scored(version=ModelVersion("hand", 2, 100)),
    ],
    ids=["train split", "val split", "other data", "other bytes", "older namesake", "other version"],
)
def test_nothing_else_counts(event: Evaluated) -> None:
    assert gathered(trained(), event).evaluation is None


def test_a_version_whose_training_is_unknown_has_no_score() -> None:
    assert gathered(scored()).evaluation is None


def test_a_metric_that_was_not_measured_is_not_a_number() -> None:
    assert gathered().metric("top1") != gathered().metric("top1")
