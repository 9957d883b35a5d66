"""A detector's scores: what is right, missed and spurious, by clip, by slice, and without what is leaked."""

from __future__ import annotations

import math

import numpy as np
import pytest

from pipelines.data.leaks.report import Leak, LeakReport
from pipelines.evaluation.boxes import pair
from pipelines.evaluation.detect import HeldOutBoxes, evaluate_boxes
from pipelines.evaluation.leaked import price_of_leaked_boxes
from registry.events import Evaluated
from registry.measured import price_in_words
from registry.records import BoxOutcomes, Evaluation
from registry.reports.accuracy import run_metrics

LABELS = ["cup", "box"]
CUP, BOX = [10.0, 10, 50, 50], [60.0, 10, 100, 60]


def rows(*detections: list[float]) -> np.ndarray:
    """Detections of an image, filled up with rows of zeros as every runtime does it."""
    padded = np.zeros((6, 6), np.float32)
    padded[: len(detections)] = np.float32(detections).reshape(-1, 6)
    return padded


def held(images: int = 4, slices: dict[str, str] | None = None) -> HeldOutBoxes:
    """Each image shows a cup and a box; two images a clip."""
    truth = [np.float32([[*CUP, 0], [*BOX, 1]])] * images
    clips, files = [f"clip{index // 2}" for index in range(images)], [f"{index}.jpg" for index in range(images)]
    return HeldOutBoxes(LABELS, truth, clips, files, 0.25, slices or {})


def score(*images: np.ndarray, slices: dict[str, str] | None = None) -> Evaluation:
    return evaluate_boxes(np.stack(images), held(len(images), slices), "d" * 64, "test")


PERFECT = rows([*CUP, 0.9, 0], [*BOX, 0.8, 1])
NOTHING = rows()


def test_what_finds_everything_scores_one_and_what_finds_nothing_zero() -> None:
    every, none = score(PERFECT, PERFECT), score(NOTHING, NOTHING)
    assert set(every.metrics.values()) == {1.0}
    assert set(none.metrics.values()) == {0.0}
    assert (every.interval, none.interval) == ((1.0, 1.0), (0.0, 0.0))
    assert every.mistakes == []
    assert {(mistake.label, mistake.answer) for mistake in none.mistakes} == {("cup", ""), ("box", "")}
    assert "scored mAP50-95 1.000 (1.000 to 1.000)" in str(
        Evaluated(model="m", version=1, created_ms=1, digest="x", evaluation=every)
    )


def test_the_confusion_has_a_row_of_what_is_nothing_and_a_column_of_what_was_missed() -> None:
    confused = rows([*CUP, 0.9, 1], [0, 70, 30, 99, 0.7, 0])  # the cup as a box, a cup where nothing is, the box missed
    evaluation = score(PERFECT, confused)
    assert evaluation.confusion == [[1, 1, 0], [0, 1, 1], [1, 0, 0]]
    assert evaluation.metrics["precision"] == pytest.approx(2 / 4)
    assert evaluation.metrics["recall"] == pytest.approx(2 / 4)
    told_apart = [(mistake.file, mistake.label, mistake.answer) for mistake in evaluation.mistakes]
    assert told_apart == [("1.jpg", "cup", "box"), ("1.jpg", "", "cup"), ("1.jpg", "box", "")]
    assert evaluation.mistakes[2].box == tuple(BOX)
    assert [score.support for score in evaluation.classes] == [2, 2]


def test_what_is_not_served_counts_for_map_and_not_for_precision() -> None:
    unsure = rows([*CUP, 0.1, 0], [*BOX, 0.8, 1])
    evaluation = score(unsure, unsure)
    assert evaluation.metrics["map50_95"] == 1.0
    assert evaluation.metrics["recall"] == 0.5
    assert evaluation.classes[0].ap == 1.0


def test_numbers_that_are_none_detect_nothing() -> None:
    broken = rows([math.nan, 10, 50, 50, 0.9, 0], [*BOX, math.nan, 1])
    assert score(broken, broken).metrics == score(NOTHING, NOTHING).metrics


def test_a_clip_that_fails_widens_the_interval_and_a_slice_tells_it_apart() -> None:
    good, bad = [PERFECT] * 2, [NOTHING] * 2
    evaluation = score(*good, *good, *good, *bad, slices={"last": "clip3", "first": "clip0", "none": "night"})
    low, high = evaluation.interval
    assert low < evaluation.score < high
    assert evaluation.slices["last"].metrics == {"map50_95": 0.0, "map50": 0.0}
    assert evaluation.slices["first"].metrics == {"map50_95": 1.0, "map50": 1.0}
    assert (evaluation.slices["none"].images, evaluation.slices["none"].metrics) == (0, {})


def test_an_evaluation_reads_back_from_its_own_json() -> None:
    evaluation = score(PERFECT, NOTHING, slices={"x": "clip"})
    assert Evaluation.model_validate_json(evaluation.model_dump_json()) == evaluation


def test_mlflow_is_given_the_map_with_its_interval() -> None:
    assert {"test_map50_95", "test_map50_95_low", "test_map50_95_high", "test_map50", "test_recall"} <= set(
        run_metrics(score(PERFECT, NOTHING))
    )


def test_a_score_is_also_said_without_what_is_leaked() -> None:
    fields = {"split_a": "train", "split_b": "test", "kind": "bytes", "file_a": "t.jpg", "value": 0, "text": "the same"}
    detections, boxes = np.stack([PERFECT, PERFECT, NOTHING, NOTHING]), held(4)
    leaks = [Leak.model_validate(fields | {"file_b": name}) for name in ("0.jpg", "1.jpg")]
    report = LeakReport(dataset="d", images={"test": 4}, leaks=tuple(leaks))
    leaked = price_of_leaked_boxes(detections, boxes, report, "test")
    assert leaked is not None
    assert leaked.metrics["map50_95"] == 0.0
    assert price_in_words(leaked) == "of which 50% (2 of 4 images) are leaked; without them 0.000 (2 images: too few to say)"


def test_pairs_of_one_class_come_before_better_overlaps_of_another() -> None:
    truth = np.float32([[0, 0, 100, 100, 0]])
    answers = np.float32([[0, 0, 100, 100, 0.9, 1], [0, 0, 100, 80, 0.5, 0]])
    pairing = pair(truth, answers)
    assert (pairing.pairs, pairing.missed, pairing.spurious) == ([(0, 1)], [], [0])


@pytest.mark.parametrize(
    "wrong",
    [{"clips": [0]}, {"clips": [5], "kinds": [0], "scores": [0.5], "hits": [1]}, {"truth": [[1]]}],
)
def test_columns_that_do_not_fit_each_other_are_refused(wrong: dict[str, list[int]]) -> None:
    whole = {"per_clip": [1, 1], "truth": [[1, 1]]}
    with pytest.raises(ValueError, match=r"differ|no clip|count"):
        BoxOutcomes.model_validate(whole | wrong)
