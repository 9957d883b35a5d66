"""Parity of detectors: does the export find the trained model's boxes, with the same class and score, and the same mAP?"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from registry.errors import InputError
from registry.records import ParityFigures
from serving.export.reference import Answers

_SAME_BOX = 0.9
"""Boxes that overlap this much count as the same box."""

_IOUS = np.arange(0.5, 1.0, 0.05)
_RECALLS = np.linspace(0, 1, 101)


_FLAT = 1e-3
_JUST = 0.05
"""A box whose score is barely above the threshold may be missing on the other side."""


def compare_detections(variant: str, trained: Answers, exported: Answers, least: float = 0.25) -> ParityFigures:
    """Figures over `[N, most, 6]` detections of the same images, none of a lower score than `least`.

    Each image's boxes are paired one to one, best first. A box without a partner differs by its score's excess over `least`,
    since the other side may have scored it just below; within `_JUST` it does not count against agreement. `map_difference`
    is 1 less the mAP50-95 that the export reaches when the trained model's boxes are taken for the truth.
    """
    trained, exported = _with_area(trained), _with_area(exported)
    if not (trained[..., 4] > 0).any():
        raise InputError("parity", "the trained model finds nothing in any image", "train it until it finds something")
    agreement, worst, mean = _paired(trained, exported, least)
    wrong = np.roll(np.arange(len(trained)), 1)
    control, control_worst, _ = _paired(trained, exported[wrong], least)
    return ParityFigures(
        variant=variant,
        images=len(trained),
        top1_agreement=agreement,
        max_abs_diff=worst,
        mean_abs_diff=mean,
        control_agreement=control,
        control_max_abs_diff=control_worst,
        map_difference=1.0 - mean_average_precision(truth_of(trained), exported),
    )


def _with_area(detections: Answers) -> Answers:
    """Without boxes that have no area: cut at the image's edge, they overlap nothing, not even themselves."""
    kept = detections.copy()
    flat = (kept[..., 2:4] - kept[..., :2]).min(axis=-1) <= _FLAT
    kept[flat & (kept[..., 4] > 0)] = 0
    return kept


def truth_of(detections: Answers) -> list[NDArray[np.float32]]:
    """Detections as if they were the truth: for each image, rows of x1, y1, x2, y2, class."""
    return [rows[rows[:, 4] > 0][:, [0, 1, 2, 3, 5]] for rows in detections]


def mean_average_precision(truth: list[NDArray[np.float32]], detections: Answers) -> float:
    """mAP50-95 as COCO defines it: 101 recall points, thresholds 0.5 to 0.95, mean over classes that occur."""
    kinds = sorted({int(kind) for rows in truth for kind in rows[:, 4]})
    scores = [_average_precision(truth, detections, kind, iou) for kind in kinds for iou in _IOUS]
    return float(np.mean(scores)) if scores else 0.0


def _average_precision(truth: list[NDArray[np.float32]], detections: Answers, kind: int, iou: float) -> float:
    """Area under one class's precision over recall, at one overlap."""
    wanted = [rows[rows[:, 4] == kind][:, :4] for rows in truth]
    total = sum(map(len, wanted))
    hits: list[tuple[float, bool]] = []
    for boxes, rows in zip(wanted, detections, strict=True):
        mine = rows[(rows[:, 4] > 0) & (rows[:, 5] == kind)]
        mine = mine[np.argsort(-mine[:, 4], kind="stable")]
        overlaps, taken = overlap(mine[:, :4], boxes), np.zeros(len(boxes), bool)
        for row, score in zip(overlaps, mine[:, 4], strict=True):
            free = np.where(taken, -1.0, row)
            best = int(free.argmax()) if len(free) else -1
            hit = best >= 0 and free[best] >= iou
            if hit:
                taken[best] = True
            hits.append((float(score), hit))
    if not hits:
        return 0.0
    hits.sort(key=lambda scored: -scored[0])
    right = np.cumsum([hit for _, hit in hits])
    precision = right / np.arange(1, len(hits) + 1)
    precision = np.maximum.accumulate(precision[::-1])[::-1]
    indices = np.searchsorted(right / total, _RECALLS - 1e-9)
    return sum(float(precision[index]) for index in indices if index < len(precision)) / len(_RECALLS)


def overlap(first: NDArray[np.float32], second: NDArray[np.float32]) -> NDArray[np.float32]:
    """Intersection over union of boxes `[N, 4]` and `[M, 4]` → `[N, M]`."""
    low = np.maximum(first[:, None, :2], second[None, :, :2])
    high = np.minimum(first[:, None, 2:], second[None, :, 2:])
    both = np.prod(np.clip(high - low, 0, None), axis=2)
    areas = [np.prod(boxes[:, 2:] - boxes[:, :2], axis=1) for boxes in (first, second)]
    return (both / np.maximum(areas[0][:, None] + areas[1][None, :] - both, 1e-9)).astype(np.float32)


def _paired(trained: Answers, exported: Answers, least: float) -> tuple[float, float, float]:
    """Share of boxes on either side that have a partner on the other; largest and mean difference in score."""
    partners, boxes, gaps = 0, 0, list[float]()
    for trained_rows, exported_rows in zip(trained, exported, strict=True):
        mine, theirs = trained_rows[trained_rows[:, 4] > 0], exported_rows[~(exported_rows[:, 4] <= 0)]
        pairs, lonely = _pair(mine, theirs)
        partners += 2 * len(pairs)
        boxes += 2 * len(pairs) + sum(not score - least < _JUST for score in lonely)
        gaps += pairs + [score - least if np.isfinite(score) else 1.0 for score in lonely]
    return partners / max(boxes, 1), max(gaps, default=0.0), float(np.mean(gaps)) if gaps else 0.0


def _pair(mine: Answers, theirs: Answers) -> tuple[list[float], list[float]]:
    """How far the scores of paired boxes are apart, and the scores of boxes without a partner on either side."""
    overlaps = overlap(mine[:, :4], theirs[:, :4])
    overlaps[(mine[:, None, 5] != theirs[None, :, 5]) | ~np.isfinite(overlaps) | ~np.isfinite(theirs[None, :, 4])] = -1
    free, pairs, lonely = np.ones(len(theirs), bool), list[float](), list[float]()
    for row, score in zip(overlaps, mine[:, 4], strict=True):
        open_row = np.where(free, row, -1)
        best = int(open_row.argmax()) if len(open_row) else -1
        if best >= 0 and open_row[best] >= _SAME_BOX:
            free[best] = False
            pairs.append(float(abs(score - theirs[best, 4])))
        else:
            lonely.append(float(score))
    return pairs, lonely + theirs[free][:, 4].tolist()
