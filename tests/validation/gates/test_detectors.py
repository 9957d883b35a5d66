"""The gates of a detector: its metrics, overall, of a class and of a slice, and the champion by mAP over the same clips."""

from __future__ import annotations

import numpy as np
import pytest
from pydantic import ValidationError

from registry.records import BoxOutcomes, ClassScore, Evaluation, Evidence, Rival, SliceScore
from validation.gates.champion import ChampionGate
from validation.gates.metric import MetricGate

CLIPS = 20


def outcomes(right: list[bool], hits: int = 2**10 - 1) -> BoxOutcomes:
    """One box in each clip, found where `right` says so."""
    clips = [clip for clip, hit in enumerate(right) if hit]
    columns = {"clips": clips, "kinds": [0] * len(clips), "scores": [0.9] * len(clips), "hits": [hits] * len(clips)}
    return BoxOutcomes(per_clip=[1] * len(right), truth=[[1] * len(right)], **columns)


def evaluation(boxes: BoxOutcomes, **fields: object) -> Evaluation:
    facts = {"dataset": "d", "split": "test", "images": CLIPS, "clips": CLIPS, "interval": (0.4, 0.6), "confusion": []}
    facts |= {"metrics": {"map50_95": 0.5, "map50": 0.8, "recall": 0.9}, "classes": [], "task": "detect", "boxes": boxes}
    return Evaluation.model_validate(facts | fields)


def evidence(mine: Evaluation, theirs: Evaluation | None = None) -> Evidence:
    rival = Rival(version=1, created_ms=1, digest="c", evaluation=theirs)
    return Evidence(model="m", version=2, created_ms=2, digest="x", evaluation=mine, rival=rival)


ALL, NONE = [True] * CLIPS, [False] * CLIPS
HALF = [clip % 2 == 0 for clip in range(CLIPS)]


def test_metrics_of_a_detector_are_judged_by_their_names() -> None:
    classes = [
        ClassScore(label="cup", precision=0.9, recall=0.8, f1=0.85, support=7, ap=0.6, ap50=0.95),
        ClassScore(label="lid", precision=0.0, recall=0.0, f1=0.0, support=0),
    ]
    slices = {"dark": SliceScore(images=3, pattern="dark", metrics={"map50_95": 0.3, "map50": 0.7})}
    known = evidence(evaluation(outcomes(ALL), classes=classes, slices=slices))
    for fields, passed in (
        ({"name": "map50_95", "at_least": 0.5}, True),
        ({"name": "map50", "at_least": 0.81}, False),
        ({"name": "top1", "at_least": 0.0}, False),  # a detector has none
        ({"name": "ap", "label": "cup", "at_least": 0.6}, True),
        ({"name": "ap50", "label": "cup", "at_least": 0.96}, False),
        ({"name": "ap", "label": "lid", "at_least": 0.0}, False),  # no box of it: not measured
        ({"name": "map50_95", "slice": "dark", "at_least": 0.3}, True),
        ({"name": "map50", "slice": "dark", "at_least": 0.8}, False),
        ({"name": "map50", "slice": "dark", "images": 4, "at_least": 0.0}, False),
    ):
        assert [finding.passed for finding in MetricGate.model_validate(fields).judge(known)] == [passed], fields


@pytest.mark.parametrize(("mine", "theirs", "passed"), [(ALL, HALF, True), (HALF, HALF, True), (HALF, ALL, False)])
def test_a_detector_must_not_be_worse_than_the_champion(mine: list[bool], theirs: list[bool], passed: bool) -> None:
    known = evidence(evaluation(outcomes(mine)), evaluation(outcomes(theirs)))
    (finding,) = ChampionGate(metric="map50_95").judge(known)
    assert finding.passed is passed
    assert "mAP50-95 difference from champion m/1 (95% lower bound)" in finding.text


def test_boxes_that_are_only_roughly_right_are_worse_by_map50_95_and_not_by_map50() -> None:
    known = evidence(evaluation(outcomes(ALL, hits=1)), evaluation(outcomes(ALL)))
    assert not ChampionGate(metric="map50_95").judge(known)[0].passed
    assert ChampionGate(metric="map50").judge(known)[0].passed


def test_what_cannot_be_compared_fails_and_says_what_to_run() -> None:
    mine = evaluation(outcomes(ALL))
    unscored = ChampionGate(metric="map50_95").judge(evidence(mine))[0]
    assert not unscored.passed
    assert "run `modelyard evaluate m/1 --data FOLDER`" in unscored.text
    elsewhere = evaluation(outcomes([*ALL, True]))
    assert not ChampionGate(metric="map50_95").judge(evidence(mine, elsewhere))[0].passed
    other_task = ChampionGate().judge(evidence(mine, mine))[0]
    assert not other_task.passed
    assert "has no top1 to compare; it has map50_95 and map50" in other_task.text


def test_mcnemar_is_refused_for_map_when_the_job_is_read() -> None:
    with pytest.raises(ValidationError, match="use bootstrap"):
        ChampionGate(metric="map50_95", method="mcnemar")


def test_the_bound_is_that_of_paired_clips_and_not_of_two_separate_draws() -> None:
    """Two detectors of which each fails on the same clips do not differ at all, however few clips there are."""
    random = np.random.default_rng(0)
    for _ in range(5):
        right = (random.random(CLIPS) < 0.6).tolist()
        (finding,) = ChampionGate(metric="map50_95", margin=0).judge(
            evidence(evaluation(outcomes(right)), evaluation(outcomes(right)))
        )
        assert finding.passed
        assert finding.figure == 0.0
