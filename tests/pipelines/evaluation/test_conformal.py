"""Prediction sets keep their promise on clips that are like those they were calibrated on, and notice others."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.evaluation.conformal import ALPHA, prediction_sets, sets_of, threshold_of
from pipelines.evaluation.scores import HeldOutSet

CLASSES = 5


def clips_of(
    count: int, seed: int, *, skill: float = 1.5, frames: int = 8, known: bool = False
) -> tuple[np.ndarray, HeldOutSet]:
    """Answers about clips, those of one clip alike, with different numbers of frames. `known`: training has seen them."""
    random = np.random.default_rng(seed)
    rows, targets, names = [], [], []
    for clip in range(count):
        target = int(random.integers(CLASSES))
        common = random.normal(0, 1.2, CLASSES)
        common[target] += 8.0 if known else skill
        for _ in range(int(random.integers(1, frames + 1))):
            logits = common + random.normal(0, 0.4, CLASSES)
            rows.append(np.exp(logits) / np.exp(logits).sum())
            targets.append(target)
            names.append(f"clip{clip:03}")
    return np.asarray(rows, np.float32), HeldOutSet([f"c{index}" for index in range(CLASSES)], targets, names)


@pytest.mark.parametrize("clips", [9, 20, 60])
@pytest.mark.parametrize("skill", [0.5, 2.0])
def test_the_true_class_is_in_the_set_as_often_as_promised(clips: int, skill: float) -> None:
    """Over many draws, since the promise is about calibrating and asking together; three standard errors are tolerated."""
    coverages = []
    for seed in range(120):
        drawn = clips_of(clips + 30, seed, skill=skill)
        other, scored = _split(drawn, clips)
        sets = prediction_sets(scored, other, "val")
        assert sets.guaranteed
        coverages.append(sets.coverage)
    error = np.std(coverages) / np.sqrt(len(coverages))
    assert np.mean(coverages) >= 1 - ALPHA - 3 * error


def _split(
    drawn: tuple[np.ndarray, HeldOutSet], clips: int
) -> tuple[tuple[np.ndarray, HeldOutSet], tuple[np.ndarray, HeldOutSet]]:
    probabilities, held = drawn
    first = np.asarray([int(name[4:]) < clips for name in held.clips])
    return tuple(  # type: ignore[return-value]
        (
            probabilities[part],
            HeldOutSet(held.labels, held.targets[part].tolist(), [held.clips[i] for i in np.flatnonzero(part)]),
        )
        for part in (first, ~first)
    )


def test_counting_frames_instead_of_clips_would_promise_too_much() -> None:
    """What the weights by clip are for: one long clip that is easy must not hide short ones that are not."""
    random = np.random.default_rng(0)
    easy = np.tile(np.asarray([[0.99, 0.01]], np.float32), (200, 1))
    hard = random.uniform(0.2, 0.6, 19).astype(np.float32)
    probabilities = np.concatenate([easy, np.stack([hard, 1 - hard], 1)])
    held = HeldOutSet(["a", "b"], [0] * 219, ["long"] * 200 + [f"short{index}" for index in range(19)])
    by_clip, _ = threshold_of(probabilities, held, ALPHA)
    by_frame, _ = threshold_of(probabilities, HeldOutSet(["a", "b"], [0] * 219, [str(index) for index in range(219)]), ALPHA)
    assert by_clip < 0.3
    assert by_frame > 0.5


def test_chance_is_rarely_taken_for_a_broken_promise() -> None:
    alarms = [prediction_sets(*reversed(_split(clips_of(50, seed), 25)), "val").broken for seed in range(200)]
    assert np.mean(alarms) < 0.05


@pytest.mark.parametrize("calibration", ["leaked", "other light"])
def test_clips_that_training_knew_and_clips_of_another_kind_are_noticed(calibration: str) -> None:
    noticed = []
    for seed in range(40):
        other = clips_of(25, seed, known=calibration == "leaked")
        scored = clips_of(40, 1000 + seed, skill=1.5 if calibration == "leaked" else -2.0)
        noticed.append(prediction_sets(scored, other, "val").broken)
    assert np.mean(noticed) > 0.9


@pytest.mark.parametrize(("clips", "guaranteed"), [(1, False), (8, False), (9, True), (30, True)])
def test_too_few_clips_promise_nothing(clips: int, guaranteed: bool) -> None:
    sets = prediction_sets(clips_of(10, 1), clips_of(clips, 2), "val")
    assert (sets.guaranteed, sets.clips) == (guaranteed, clips)


def test_of_fewer_than_five_scored_clips_nothing_is_said_to_be_broken() -> None:
    assert not prediction_sets(clips_of(4, 1, skill=-9), clips_of(30, 2), "val").broken


def test_a_picture_is_answered_by_one_class_or_it_is_unsure() -> None:
    probabilities = np.asarray([[0.98, 0.02], [0.55, 0.45], [0.5, 0.5], [np.nan, 0.5]], np.float32)
    assert sets_of(probabilities, 0.4).tolist() == [[True, False], [True, True], [True, True], [False, False]]
    held = HeldOutSet(["a", "b"], [0, 1, 0, 0], list("wxyz"))
    other = (
        np.tile(np.asarray([[0.4, 0.6]], np.float32), (20, 1)),
        HeldOutSet(["a", "b"], [0] * 20, [str(i) for i in range(20)]),
    )
    sets = prediction_sets((probabilities, held), other, "val")
    assert (sets.threshold, sets.coverage, sets.unsure, sets.sure_top1) == (pytest.approx(0.4), 0.75, 0.75, 1.0)
    assert sets.mean_size == pytest.approx((1 + 2 + 2 + 0) / 4)


@settings(max_examples=40)
@given(st.integers(0, 10_000), st.floats(0.03, 0.4))
def test_the_calibration_clips_themselves_are_covered_as_promised(seed: int, alpha: float) -> None:
    probabilities, held = clips_of(40, seed)
    threshold, guaranteed = threshold_of(probabilities, held, alpha)
    assert guaranteed
    covered = sets_of(probabilities, threshold)[np.arange(len(probabilities)), held.targets]
    _, member, sizes = np.unique(held.clips, return_inverse=True, return_counts=True)
    assert np.mean(np.bincount(member, weights=covered) / sizes) >= 1 - alpha
