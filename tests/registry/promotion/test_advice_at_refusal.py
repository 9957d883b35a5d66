"""The advice is in the error, in the ledger's row, in what needs attention, and in the answer of `gates`."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest

from pipelines.cli.app import run
from registry.errors import RefusedError
from registry.events import Evaluated, Refused, Trained, about
from registry.promotion.promote import promote
from registry.promotion.verdict import digest_version, evaluate_gates, manifest_version
from registry.records import ClassScore, Evaluation
from registry.refs import Ref
from registry.reports.attention import needs_attention
from registry.stages import Stage
from validation.gates.metric import MetricGate

sys.path.insert(0, str(Path(__file__).parent))
from promoting import ADA, make_context

ADVICE = "more clips of 'fist': recall 0.40 on 5 test clips, taken for 'palm' in 6 of 6 mistakes, 2 clips to train on"


@pytest.fixture
def context(tmp_path: Path, model: Path):
    made = make_context(tmp_path, model, MetricGate(at_least=0.9))  # type: ignore[arg-type]
    version = made.store.versions("hand")[0]
    key = about(version, digest_version(made.store, version))
    spent = {"seconds": 1, "hardware": "here", "usd": Decimal(1), "price_as_of": "2026-11-23"}
    made.ledger.append(Trained(**key, trainer="torch", run_id="r", dataset="d", **spent))
    score = {"precision": 0.9, "support": 10, "clips": 5}
    classes = [
        ClassScore(label="fist", recall=0.4, f1=0.55, train_clips=2, **score),
        ClassScore(label="palm", recall=1.0, f1=0.9, train_clips=9, **score),
    ]
    fields = {"images": 20, "clips": 10, "metrics": {"top1": 0.7}, "interval": (0.5, 0.9), "confusion": [[4, 6], [0, 10]]}
    made.ledger.append(Evaluated(**key, evaluation=Evaluation(dataset="d", split="test", classes=classes, **fields)))
    return made


def test_a_promotion_that_is_refused_says_what_would_help(context) -> None:
    with pytest.raises(RefusedError) as refused:
        promote(context, Ref("hand", 1), Stage.STAGING, ADA)
    assert ADVICE in refused.value.remedy
    assert "see `modelyard gates hand/1 staging`" in refused.value.remedy
    entry = context.ledger.entries()[-1]
    assert isinstance(entry.event, Refused)
    assert entry.event.advice.startswith(ADVICE)
    assert any(ADVICE in item.what for item in needs_attention(context.ledger.entries()))


def test_gates_say_it_in_words_and_in_json(
    context, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    version = context.store.versions("hand")[0]
    verdict = evaluate_gates(context, version, Stage.STAGING, manifest_version(context.store, version))
    monkeypatch.setattr("pipelines.promotion.decide.gates", lambda *_: verdict)
    for arguments in ([], ["--json"]):
        with pytest.raises(SystemExit) as ended:
            run(["gates", "hand/1", "staging", *arguments])
        assert ended.value.code == 1
    printed = capsys.readouterr().out.splitlines()
    assert any(line.startswith(f"what would help most: {ADVICE}") for line in printed)
    advice = json.loads(printed[-1])["advice"]
    assert (advice["kind"], advice["label"]) == ("more clips", "fist")
    assert advice["text"].startswith(ADVICE)


def test_several_metrics_of_a_few_clips_leave_room_for_every_reason(context) -> None:
    scored = context.ledger.entries()[-1].event
    few = scored.evaluation.model_copy(update={"clips": 3, "metrics": {"top1": 0.7, "ece": 0.4, "dark_3": 0.3}})
    context.ledger.append(scored.model_copy(update={"evaluation": few}))
    gates = (MetricGate(), MetricGate(name="ece", at_most=0.05), MetricGate(name="dark_3"))
    version = context.store.versions("hand")[0]
    asked = replace(context, gates={Stage.STAGING: gates})
    reasons = evaluate_gates(asked, version, Stage.STAGING, manifest_version(context.store, version)).reasons
    assert reasons.startswith("top1 0.7 is below 0.9; ece 0.4 is above 0.05; dark_3 0.3 is below 0.9 (only 3 test clips")
    assert reasons.count("only 3 test clips") == 1
