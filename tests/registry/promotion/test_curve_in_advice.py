"""What a learning curve predicts is in the advice of a refusal, as long as it is of the data set that was trained on."""

from __future__ import annotations

import sys
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest

from registry.errors import RefusedError
from registry.events import CurveMeasured, Evaluated, Trained, about, parse_event
from registry.promotion.evidence import gather
from registry.promotion.promote import promote
from registry.promotion.verdict import digest_version
from registry.records import ClassScore, Evaluation, Gain
from registry.refs import Ref
from registry.stages import Stage
from validation.gates.metric import MetricGate

sys.path.insert(0, str(Path(__file__).parent))
from promoting import ADA, make_context

ADVICE = "10 more are worth +2 to +5 points"


def curve(dataset: str = "d", low: float = 0.02, model: str = "hand") -> CurveMeasured:
    return CurveMeasured(model=model, dataset=dataset, network="n", gains={"fist": Gain(clips=10, low=low, high=0.05)})


@pytest.fixture
def context(tmp_path: Path, model: Path):
    made = make_context(tmp_path, model, MetricGate(at_least=0.9))  # type: ignore[arg-type]
    version = made.store.versions("hand")[0]
    key = about(version, digest_version(made.store, version))
    spent = {"seconds": 1, "hardware": "here", "usd": Decimal(1), "price_as_of": "2026-11-23"}
    made.ledger.append(Trained(**key, trainer="torch", run_id="r", dataset="d", **spent))
    classes = [
        ClassScore(label=label, recall=recall, precision=0.9, f1=0.5, support=10, clips=5, train_clips=9)
        for label, recall in (("fist", 0.4), ("palm", 1.0))
    ]
    fields = {"images": 20, "clips": 10, "metrics": {"top1": 0.7}, "interval": (0.5, 0.9), "confusion": [[4, 6], [0, 10]]}
    made.ledger.append(Evaluated(**key, evaluation=Evaluation(dataset="d", split="test", classes=classes, **fields)))
    return made


def refusal(context) -> str:
    with pytest.raises(RefusedError) as refused:
        promote(context, Ref("hand", 1), Stage.STAGING, ADA)
    return refused.value.remedy


def test_a_refusal_says_what_more_clips_are_worth(context) -> None:
    context.ledger.append(curve())
    assert ADVICE in refusal(context)
    assert "more clips of 'fist'" in context.ledger.entries()[-1].event.advice


@pytest.mark.parametrize("event", [None, curve("another data set"), curve(model="foot")], ids=["none", "data", "model"])
def test_not_without_a_curve_of_this_models_data_set(context, event: CurveMeasured | None) -> None:
    if event:
        context.ledger.append(event)
    assert "points" not in refusal(context)


def test_the_last_curve_counts_and_one_of_other_data_does_not_hide_it(context) -> None:
    context.ledger.append(curve(low=-0.1))
    context.ledger.append(curve())
    context.ledger.append(curve("another data set", low=0.04))
    assert ADVICE in refusal(context)


def test_a_row_that_was_changed_does_not_count(context) -> None:
    context.ledger.append(curve())
    version = context.store.versions("hand")[0]
    digest = digest_version(context.store, version)
    entries = context.ledger.entries("hand")
    assert gather(entries, version, digest).gains
    changed = [*entries[:-1], replace(entries[-1], flaw="was changed")]
    assert gather(changed, version, digest).gains == {}


def test_a_curve_is_read_back_as_it_was_written() -> None:
    assert parse_event(curve().model_dump_json()) == curve()
