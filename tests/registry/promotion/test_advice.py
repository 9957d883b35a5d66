"""A refusal says what would most likely help, from the mistakes: which class, more clips or other data, or something else."""

from __future__ import annotations

import pytest

from registry.events import Refused
from registry.promotion.advice import Advice, advise
from registry.records import (
    Calibration,
    ClassScore,
    Evaluation,
    Evidence,
    Finding,
    Gain,
    Latency,
    Mistake,
    PredictionSets,
    Robustness,
    SliceScore,
)
from registry.stages import Stage
from validation.gates.latency import LatencyGate
from validation.gates.metric import MetricGate

LABELS = ["fist", "palm", "thumb"]


def score(label: str, recall: float, train: int | None = 8, precision: float = 0.95) -> ClassScore:
    return ClassScore(label=label, precision=precision, recall=recall, f1=recall, support=10, clips=5, train_clips=train)


def evidence(*classes: ClassScore, clips: int = 15, gains: dict[str, Gain] | None = None, **facts: object) -> Evidence:
    shown = list(classes) or [score("fist", 0.4, 3), score("palm", 0.9), score("thumb", 1.0)]
    fields = {
        "dataset": "d",
        "split": "test",
        "images": 30,
        "interval": (0.7, 0.9),
        "metrics": {"top1": 0.77, "worst_recall": 0.4},
    }
    fields["confusion"] = [[4, 5, 1], [1, 9, 0], [0, 0, 10]]
    scored = Evaluation(classes=shown, clips=clips, **(fields | facts))
    return Evidence(model="hand", version=1, created_ms=1, digest="d", evaluation=scored, gains=gains or {})


def advice(known: Evidence, *gates: MetricGate | LatencyGate) -> Advice:
    given = advise(known, [finding for gate in gates or (MetricGate(),) for finding in gate.judge(known)])
    assert given is not None
    assert len(given.text) < 330, "it is the remedy of an error, which is one line"
    return given


def test_a_class_with_few_clips_wants_more_of_them() -> None:
    given = advice(evidence())
    assert (given.kind, given.label) == ("more clips", "fist")
    assert given.text == (
        "more clips of 'fist': recall 0.40 on 5 test clips, taken for 'palm' in 5 of 6 mistakes, "
        "3 clips to train on where the others have 8"
    )


def test_a_class_with_as_many_clips_as_the_others_wants_other_ones() -> None:
    given = advice(evidence(score("fist", 0.4), score("palm", 0.9), score("thumb", 1.0)))
    assert (given.kind, given.label) == ("other clips", "fist")
    assert "by other people and in other rooms" in given.text


def test_a_detector_misses_boxes_and_one_that_finds_hardly_anything_is_trained_first() -> None:
    metrics = {"map50_95": 0.3, "map50": 0.6}
    missing = ClassScore(label="cup", precision=0.9, recall=0.25, f1=0.4, support=8)
    facts = {"task": "detect", "confusion": [[2, 6], [1, 0]]}
    gate = MetricGate(name="map50_95", at_least=0.5)
    assert advice(evidence(missing, metrics=metrics, **facts), gate).text == (
        "more clips of 'cup': recall 0.25 on 8 boxes, missed in 6 of 6 mistakes"
    )
    blind = advice(evidence(missing, metrics={"map50_95": 0.001, "map50": 0.01}, **facts), gate)
    assert blind.kind == "training"
    assert blind.text.endswith("it finds hardly anything, mAP50 0.01")


def test_what_a_learning_curve_predicts_is_added() -> None:
    given = advice(evidence(gains={"fist": Gain(clips=10, low=0.02, high=0.05)}))
    assert given.text.endswith("; 10 more are worth +2 to +5 points")
    enough = evidence(
        score("fist", 0.4), score("palm", 0.9), score("thumb", 1.0), gains={"fist": Gain(clips=10, low=0.02, high=0.05)}
    )
    assert advice(enough).kind == "more clips", "a measured gain outweighs that the others have no more"


def test_the_class_that_a_gate_names_is_the_one_that_is_spoken_of() -> None:
    known = evidence(score("fist", 0.4, 3), score("palm", 0.95, 8, precision=0.5), score("thumb", 1.0))
    assert advice(known, MetricGate(name="precision", label="palm", at_least=0.9)).label == "palm"
    assert "precision 0.50" in advice(known, MetricGate(name="precision", label="palm", at_least=0.9)).text


@pytest.mark.parametrize(("sure", "kind"), [(0.99, "labels"), (0.6, "more clips")])
def test_mistakes_without_a_doubt_are_likely_wrong_labels(sure: float, kind: str) -> None:
    mistakes = [Mistake(file=f"{index}.jpg", label="fist", answer="palm", probability=sure) for index in range(4)]
    given = advice(evidence(mistakes=mistakes))
    assert given.kind == kind
    assert ("modelyard data label-errors" in given.text) == (kind == "labels")


@pytest.mark.parametrize(("clips", "kind"), [(4, "test clips"), (5, "more clips")])
def test_with_few_test_clips_chance_decides(clips: int, kind: str) -> None:
    assert advice(evidence(clips=clips)).kind == kind


@pytest.mark.parametrize(("top1", "learned"), [(0.33, False), (0.42, False), (0.44, True), (0.7, True)])
def test_a_model_that_learned_nothing_does_not_need_clips_first(top1: float, learned: bool) -> None:
    given = advice(evidence(metrics={"top1": top1}))
    assert (given.kind == "training") != learned
    if learned:
        return
    assert "hardly more than chance with 3 classes" in given.text


@pytest.mark.parametrize("kind", ["blur", "dark", "jpeg", "noise"])
def test_worse_pictures_want_clips_like_those(kind: str) -> None:
    robust = Robustness(images=30, clips=15, clean=0.95, top1={f"{kind}_1": 0.9, f"{kind}_3": 0.5})
    known = evidence(robustness=robust, metrics={f"{kind}_3": 0.5, "robust_top1": 0.7, "top1": 0.95})
    for name in (f"{kind}_3", "robust_top1"):
        given = advice(known, MetricGate(name=name))
        assert given.kind == "other clips"
        assert f"top-1 falls from 0.95 to 0.50 ({kind}_3" in given.text


def test_a_slice_wants_clips_of_its_own_kind() -> None:
    known = evidence(slices={"dark": SliceScore(images=12, top1=0.5, pattern="/dark_")})
    assert "film more clips like those of 'dark'" in advice(known, MetricGate(slice="dark")).text


@pytest.mark.parametrize(("after", "kind"), [(0.02, "calibration"), (0.2, "more clips")])
def test_a_model_that_is_too_sure_is_told_whether_a_temperature_would_do(after: float, kind: str) -> None:
    measured = Calibration(ece=0.2, bins=[], split="val", images=9, clips=3, temperature=2.0, ece_scaled=after)
    given = advice(evidence(calibration=measured, metrics={"ece": 0.2}), MetricGate(name="ece", at_most=0.05))
    assert (given.kind, "2.00" in given.text) == (kind, True)


@pytest.mark.parametrize(
    ("broken", "guaranteed", "kind"), [(True, True, "other clips"), (False, False, "calibration"), (False, True, "more clips")]
)
def test_a_low_coverage_is_a_matter_of_splits_of_val_or_of_the_model(broken: bool, guaranteed: bool, kind: str) -> None:
    fields = {
        "alpha": 0.1,
        "split": "val",
        "clips": 4,
        "threshold": 0.3,
        "interval": (0.6, 0.9),
        "mean_size": 1.2,
        "unsure": 0.2,
    }
    sets = PredictionSets(coverage=0.8, broken=broken, guaranteed=guaranteed, **fields)
    known = evidence(sets=sets, metrics={"coverage": 0.8, "top1": 0.77})
    assert advice(known, MetricGate(name="coverage", at_least=0.9)).kind == kind


@pytest.mark.parametrize(("load", "kind"), [(0.9, "machine"), (0.1, "training"), (None, "training")])
def test_a_slow_answer_is_the_machines_or_the_networks(load: float | None, kind: str) -> None:
    slow = Latency(p50_ms=60, p95_ms=90, first_ms=100, requests=100, rounds=5, load=load)
    assert advice(evidence().model_copy(update={"latency": slow}), LatencyGate()).kind == kind


def test_nothing_is_advised_where_nothing_failed_or_nothing_is_known() -> None:
    known = evidence()
    assert advise(known, MetricGate(at_least=0.5).judge(known)) is None
    bare = Evidence(model="hand", version=1, created_ms=1, digest="d")
    assert advise(bare, MetricGate().judge(bare)) is None
    assert advise(known, [Finding(gate="approval", passed=False, text="nobody approved", figure=0)]) is None
    perfect = evidence(*(score(label, 1.0, precision=1.0) for label in LABELS))
    assert advise(perfect, MetricGate(at_least=0.9).judge(perfect)) is None


@pytest.mark.parametrize("confusion", [[], [[4, 5, 1]], [[0, 0, 0, 6], [0] * 4, [0] * 4, [0] * 4]])
def test_a_confusion_of_another_size_costs_no_advice(confusion: list[list[int]]) -> None:
    known = evidence()
    scored = known.evaluation
    assert scored is not None
    other = known.model_copy(update={"evaluation": scored.model_copy(update={"confusion": confusion})})
    assert advice(other).label == "fist"


def test_an_old_refusal_is_read_and_says_what_it_said() -> None:
    old = {"model": "hand", "version": 1, "created_ms": 1, "digest": "d", "kind": "refused", "stage": "staging", "actor": "ada"}
    refused = Refused.model_validate(old | {"findings": [{"gate": "metric", "passed": False, "text": "top1 0.5 is below 0.9"}]})
    assert str(refused) == "hand/1 refused for staging: top1 0.5 is below 0.9"
    assert refused.stage is Stage.STAGING
    advised = refused.model_copy(update={"advice": "more clips of 'fist'"})
    assert str(advised).endswith("; what would help most: more clips of 'fist'")
