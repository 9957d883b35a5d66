"""Scores are what scikit-learn says, and the interval respects clips."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import confusion_matrix, f1_score, precision_score, recall_score

from pipelines.evaluation.scores import HeldOutSet, bootstrap_interval, evaluate


@pytest.fixture
def case() -> tuple[np.ndarray, list[int]]:
    random = np.random.default_rng(1)
    targets = random.integers(0, 4, 200)
    probabilities = random.dirichlet(np.ones(4), 200)
    probabilities[np.arange(200), targets] += 0.4
    return (probabilities / probabilities.sum(1, keepdims=True)).astype(np.float32), targets.tolist()


def held(targets: list[int], clips: list[str] | None = None) -> HeldOutSet:
    return HeldOutSet(list("abcd"), targets, clips or [f"clip{index // 5}" for index in range(len(targets))])


def test_scores_are_scikit_learns(case: tuple[np.ndarray, list[int]]) -> None:
    probabilities, targets = case
    guesses = probabilities.argmax(1)
    evaluation = evaluate(probabilities, held(targets), "d", "test")
    assert evaluation.metrics["top1"] == pytest.approx((guesses == targets).mean())
    assert evaluation.metrics["macro_f1"] == pytest.approx(f1_score(targets, guesses, average="macro"))
    assert [score.precision for score in evaluation.classes] == pytest.approx(precision_score(targets, guesses, average=None))
    assert [score.recall for score in evaluation.classes] == pytest.approx(recall_score(targets, guesses, average=None))
    assert evaluation.confusion == confusion_matrix(targets, guesses).tolist()
    assert evaluation.metrics["worst_recall"] == min(score.recall for score in evaluation.classes)
    assert (evaluation.images, evaluation.clips) == (200, 40)
    assert evaluation.interval[0] < evaluation.metrics["top1"] < evaluation.interval[1]


def test_an_answer_that_is_no_number_is_wrong(case: tuple[np.ndarray, list[int]]) -> None:
    probabilities, targets = case
    probabilities = probabilities.copy()
    probabilities[:] = np.nan
    evaluation = evaluate(probabilities, held(targets), "d", "test")
    assert evaluation.metrics == {"top1": 0.0, "top5": 0.0, "macro_f1": 0.0, "worst_recall": 0.0}


def test_frames_of_one_clip_do_not_make_the_interval_narrower() -> None:
    right = np.repeat(np.random.default_rng(2).random(40) < 0.8, 10)
    by_frame = bootstrap_interval(right, [str(index) for index in range(400)])
    by_clip = bootstrap_interval(right, [str(index // 10) for index in range(400)])
    assert by_clip[1] - by_clip[0] > 2 * (by_frame[1] - by_frame[0])
