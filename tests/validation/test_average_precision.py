"""mAP is COCO's: on random boxes a well-kept library computes the same, and resampling clips is counting them again."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.evaluation.boxes import outcomes_of
from registry.records import BoxOutcomes
from validation.average_precision import IOUS, average_precisions, draws, mean_ap

Scene = tuple[list[np.ndarray], list[np.ndarray]]


def scene(seed: int, images: int, classes: int) -> Scene:
    """Random boxes, and detections of which some are near them, some doubled, some of another class, some of nothing."""
    random = np.random.default_rng(seed)
    truth, detections = list[np.ndarray](), list[np.ndarray]()
    for _ in range(images):
        corner = random.uniform(0, 80, (random.integers(0, 5), 2))
        boxes = np.hstack([corner, corner + random.uniform(5, 40, corner.shape), random.integers(0, classes, (len(corner), 1))])
        seen = np.repeat(boxes[random.random(len(boxes)) < 0.8], random.integers(1, 3), axis=0)
        seen[:, :4] += random.normal(0, random.choice([0.3, 2, 6]), (len(seen), 4))
        seen[random.random(len(seen)) < 0.1, 4] = random.integers(classes)
        nothing = random.uniform(0, 60, (random.integers(0, 3), 2))
        other = np.hstack([nothing, nothing + 20, random.integers(0, classes, (len(nothing), 1))])
        rows = np.vstack([seen, other])
        rows = rows[(rows[:, 2] > rows[:, 0]) & (rows[:, 3] > rows[:, 1])]
        scores = random.permutation(np.linspace(0.01, 0.99, len(rows)) + random.uniform(-1e-3, 1e-3, len(rows)))
        truth.append(boxes.astype(np.float32))
        detections.append(np.hstack([rows[:, :4], scores[:, None], rows[:, 4:]]).astype(np.float32))
    return truth, detections


def figures(outcomes: BoxOutcomes) -> np.ndarray:
    return average_precisions(outcomes, np.ones((1, len(outcomes.per_clip)), np.int64))[0]


@given(seed=st.integers(0, 10**6), images=st.integers(1, 25), classes=st.integers(1, 4))
@settings(max_examples=25, deadline=None)
def test_it_is_what_supervision_computes(seed: int, images: int, classes: int) -> None:
    supervision = pytest.importorskip("supervision")
    from supervision.metrics import MeanAveragePrecision

    truth, detections = scene(seed, images, classes)
    if not any(map(len, truth)) or not any(map(len, detections)):
        return
    outcomes = outcomes_of(truth, detections, [f"{index:03d}" for index in range(images)], classes)
    ours = figures(outcomes)
    metric = MeanAveragePrecision()
    theirs = metric.update(
        [
            supervision.Detections(xyxy=rows[:, :4], confidence=rows[:, 4], class_id=rows[:, 5].astype(int))
            for rows in detections
        ],
        [supervision.Detections(xyxy=boxes[:, :4], class_id=boxes[:, 4].astype(int)) for boxes in truth],
    ).compute()
    assert float(mean_ap(ours[None])[0]) == pytest.approx(theirs.map50_95, abs=1e-5)
    assert float(mean_ap(ours[None], 0)[0]) == pytest.approx(theirs.map50, abs=1e-5)


@given(seed=st.integers(0, 10**6), classes=st.integers(1, 3))
@settings(max_examples=20, deadline=None)
def test_a_clip_that_weighs_twice_is_a_clip_that_is_there_twice(seed: int, classes: int) -> None:
    truth, detections = scene(seed, 12, classes)
    clips = [f"clip {index // 3}" for index in range(12)]
    outcomes = outcomes_of(truth, detections, clips, classes)
    weights = draws(4, seed, 1)
    weighted = average_precisions(outcomes, weights)[0]
    again = [index for index in range(12) for _ in range(weights[0, index // 3])]
    drawn = [truth[index] for index in again], [detections[index] for index in again]
    counted = figures(outcomes_of(*drawn, [clips[index] for index in again], classes))
    assert np.allclose(weighted, counted, atol=1e-9, equal_nan=True)


@given(seed=st.integers(0, 10**6))
@settings(max_examples=20, deadline=None)
def test_what_is_left_out_changes_no_figure_of_any_draw(seed: int) -> None:
    truth, detections = scene(seed, 10, 2)
    clips = [f"{index % 4}" for index in range(10)]
    outcomes = outcomes_of(truth, detections, clips, 2)
    lowest = min(outcomes.scores, default=1.0) / 2
    more = {"clips": 0, "kinds": 1, "scores": lowest, "hits": 0}
    longer = outcomes.model_copy(update={name: [*getattr(outcomes, name), value] for name, value in more.items()})
    weights = draws(4, seed, 50)
    assert np.array_equal(average_precisions(longer, weights), average_precisions(outcomes, weights), equal_nan=True)


def test_all_boxes_at_their_places_are_1_and_none_is_0() -> None:
    boxes = np.float32([[0, 0, 10, 10, 0], [20, 20, 40, 30, 1]])
    rows = np.hstack([boxes[:, :4], np.float32([[0.9], [0.8]]), boxes[:, 4:]])
    assert figures(outcomes_of([boxes], [rows], ["a"], 2)).tolist() == [[1.0] * len(IOUS)] * 2
    assert figures(outcomes_of([boxes], [rows[:0]], ["a"], 2)).tolist() == [[0.0] * len(IOUS)] * 2
    without = figures(outcomes_of([boxes[:1]], [rows], ["a"], 2))
    assert np.isnan(without[1]).all()
    assert mean_ap(without[None]).tolist() == [1.0]
