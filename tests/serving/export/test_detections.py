"""Detectors' figures: what is found again, what is not, and mAP as others compute it."""

from __future__ import annotations

import numpy as np
import pytest

from registry.errors import InputError
from serving.export.detections import compare_detections, mean_average_precision, overlap, truth_of


def scene(images: int = 12, seed: int = 0) -> np.ndarray:
    """Detections `[images, 20, 6]`, three to eight real ones each."""
    random = np.random.default_rng(seed)
    detections = np.zeros((images, 20, 6), np.float32)
    for image in detections:
        count = int(random.integers(3, 9))
        corner, extent = random.uniform(0, 80, (count, 2)), random.uniform(10, 30, (count, 2))
        score = np.sort(random.uniform(0.4, 1, count))[::-1]
        image[:count] = np.column_stack([corner, corner + extent, score, random.integers(0, 3, count)])
    return detections


def test_the_same_boxes_agree_and_those_of_another_image_do_not() -> None:
    figures = compare_detections("x", scene(), scene())
    assert (figures.top1_agreement, figures.max_abs_diff, figures.map_difference) == (1.0, 0.0, 0.0)
    assert figures.control_agreement < 0.1


@pytest.mark.parametrize("change", ["moved", "classes", "fewer", "more"])
def test_what_is_not_found_again_is_noticed(change: str) -> None:
    given, other = scene(), scene()
    if change == "moved":
        other[..., :4] += 6
    elif change == "classes":
        other[..., 5] = (other[..., 5] + 1) % 3
    elif change == "fewer":
        other[:, 2:] = 0
    else:
        other[:, -1] = [5, 5, 25, 25, 0.9, 1]
    figures = compare_detections("x", given, other)
    assert figures.top1_agreement < 0.95
    assert figures.max_abs_diff > 0.1
    if change != "more":
        assert figures.map_difference > 0.1


def test_a_score_that_differs_is_a_difference_and_no_disagreement() -> None:
    other = scene()
    other[..., 4] *= 0.98
    figures = compare_detections("x", scene(), other)
    assert figures.top1_agreement == 1.0
    assert 0.005 < figures.max_abs_diff <= 0.02


def test_a_box_that_is_hardly_sure_may_be_missing() -> None:
    given = scene()
    given[0, 19] = [1, 1, 9, 9, 0.26, 0]
    figures = compare_detections("x", given, scene())
    assert figures.top1_agreement == 1.0
    assert figures.max_abs_diff == pytest.approx(0.01, abs=1e-3)


def test_scores_that_are_no_numbers_agree_with_nothing() -> None:
    other = scene()
    other[0, 0, 4] = np.nan
    figures = compare_detections("x", scene(), other)
    assert figures.top1_agreement < 1.0
    assert figures.max_abs_diff == 1.0


def test_a_detector_that_finds_nothing_cannot_be_measured() -> None:
    with pytest.raises(InputError, match="finds nothing"):
        compare_detections("x", np.zeros((3, 5, 6), np.float32), scene(3))


def test_map_is_what_ultralytics_computes() -> None:
    """On detections that miss, double and move some of the truth."""
    from ultralytics.utils.metrics import ap_per_class

    random = np.random.default_rng(4)
    truth = truth_of(scene(30, 1))
    detections = scene(30, 1)
    detections[..., :4] += random.normal(0, 1.5, detections[..., :4].shape)
    detections[..., 4] *= random.uniform(0.3, 1, detections[..., 4].shape) * (random.random(detections[..., 4].shape) > 0.15)
    detections[:, -1] = [3, 3, 30, 30, 0.5, 1]
    hits, scores, kinds = [], [], []
    for given, real in zip(detections, truth, strict=True):
        rows = given[given[:, 4] > 0]
        rows = rows[np.argsort(-rows[:, 4], kind="stable")]
        near = overlap(rows[:, :4], real[:, :4]) * (rows[:, None, 5] == real[None, :, 4])
        hit = np.zeros((len(rows), 10), bool)
        for column, iou in enumerate(np.arange(0.5, 1.0, 0.05)):
            taken = np.zeros(len(real), bool)
            for row in range(len(rows)):
                free = np.where(taken, -1, near[row])
                if free.max(initial=-1) >= iou:
                    hit[row, column] = taken[free.argmax()] = True
        hits.append(hit)
        scores.append(rows[:, 4])
        kinds.append(rows[:, 5])
    theirs = ap_per_class(*map(np.concatenate, (hits, scores, kinds)), np.concatenate([boxes[:, 4] for boxes in truth]))[5]
    ours = mean_average_precision(truth, detections)
    assert 0.2 < ours < 0.95
    assert ours == pytest.approx(theirs.mean(), abs=0.01)


def test_boxes_without_area_do_not_disagree_with_themselves() -> None:
    given = scene()
    given[0, 10] = [12, 0, 30, 0, 0.8, 1]
    figures = compare_detections("x", given, given.copy())
    assert (figures.top1_agreement, figures.max_abs_diff, figures.map_difference) == (1.0, 0.0, 0.0)
