"""Average precision as COCO defines it, of recorded detections, over any weighting of the clips that they are in.

A weight of 2 counts a clip twice: so clips are resampled without counting boxes anew, and two detectors are compared on the
same draws.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from registry.records import BoxOutcomes

IOUS = 0.5 + 0.05 * np.arange(10)
"""The overlaps at which a detection counts as a box; mAP50-95 is the mean over them."""
_RECALLS = np.linspace(0, 1, 101)
"""Where precision is read; COCO compares recalls with exactly these floats, of which some lie just above a fraction."""
_AT_ONCE = 4_000_000
"""Numbers in one array of resamples by detections."""
RESAMPLES = 1000
Figures = NDArray[np.float64]


def average_precisions(outcomes: BoxOutcomes, weights: NDArray[np.int64]) -> Figures:
    """AP of each class at each overlap, `[resamples, classes, 10]`, for weights of clips `[resamples, clips]`.

    NaN where a class has no box: COCO leaves it out of the mean.
    """
    truth = np.asarray(outcomes.truth, np.int64).reshape(len(outcomes.truth), len(outcomes.per_clip))
    clips, kinds = np.asarray(outcomes.clips, np.int64), np.asarray(outcomes.kinds, np.int64)
    scores, hits = np.asarray(outcomes.scores, np.float64), np.asarray(outcomes.hits, np.int64)
    result = np.full((len(weights), len(truth), len(IOUS)), np.nan)
    for kind in range(len(truth)):
        mine = np.flatnonzero(kinds == kind)
        mine = mine[np.argsort(-scores[mine], kind="stable")]
        bits = (hits[mine, None] >> np.arange(len(IOUS)) & 1).astype(bool)
        rows = max(1, _AT_ONCE // max(len(mine), 1))
        for start in range(0, len(weights), rows):
            part = weights[start : start + rows]
            result[start : start + rows, kind] = _of_a_class(part[:, clips[mine]], bits, part @ truth[kind])
    return result


def _of_a_class(weights: NDArray[np.int64], bits: NDArray[np.bool_], totals: NDArray[np.int64]) -> Figures:
    """AP `[resamples, 10]` of detections, best first: their weights, whether each is a hit, and how many boxes there are."""
    ranked = np.cumsum(weights, axis=1)
    figures = np.full((len(weights), bits.shape[1]), np.nan)
    there = totals > 0
    for overlap in range(bits.shape[1]):
        columns = np.flatnonzero(bits[:, overlap])
        right = np.cumsum(weights[:, columns], axis=1)
        precision = right / np.maximum(ranked[:, columns], 1)
        envelope = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
        recall = right / np.maximum(totals, 1)[:, None]
        reached = np.where(right > 0, np.searchsorted(_RECALLS, recall, side="right"), 0)
        steps = np.diff(reached, axis=1, prepend=0)
        figures[there, overlap] = ((steps * envelope).sum(axis=1) / len(_RECALLS))[there]
    return figures


def mean_ap(figures: Figures, overlap: int | None = None) -> Figures:
    """Mean AP of each resample, over the classes that have boxes: at one of the overlaps, or over all of them.

    NaN where no class has any.
    """
    chosen = figures if overlap is None else figures[..., overlap : overlap + 1]
    there = np.isfinite(chosen)
    sums, counts = np.where(there, chosen, 0).sum(axis=(1, 2)), there.sum(axis=(1, 2))
    return np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)


def draws(clips: int, seed: int = 0, resamples: int = RESAMPLES) -> NDArray[np.int64]:
    """How often each clip is drawn, `[resamples, clips]`, when as many as there are are drawn with replacement."""
    picks = np.random.default_rng(seed).integers(0, clips, (resamples, clips))
    counts = np.zeros((resamples, clips), np.int64)
    np.add.at(counts, (np.arange(resamples)[:, None], picks), 1)
    return counts
