"""When a classifier should say that it is unsure: conformal prediction sets, calibrated by clip.

Frames of one clip are alike, so a clip and not a frame is what counts. With K clips to calibrate on, clip k of N_k frames gives
each of its frames the weight 1 / ((K + 1) N_k), and 1 / (K + 1) is kept for the unknown. For a frame of a new clip that is
exchangeable with those, the set then has the true class with a probability of at least 1 - alpha (hierarchical conformal
prediction; Lee, Barber and Willett, 2023). This promises nothing where K / (K + 1) is below 1 - alpha: fewer than 9 clips at
alpha 0.1.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from pipelines.evaluation.scores import HeldOutSet, Probabilities, bootstrap_interval
from registry.measured import FEW_CLIPS
from registry.records import PredictionSets

ALPHA = 0.1
_TWO_SIDED = 1.96
_ROUNDING = 1e-9


def prediction_sets(
    scored: tuple[Probabilities, HeldOutSet], other: tuple[Probabilities, HeldOutSet], split: str, alpha: float = ALPHA
) -> PredictionSets:
    """The sets of the scored images by a threshold from other images, those of `split`, and whether they keep the promise.

    A row with a NaN in it is an empty set, which is unsure and covers nothing.
    """
    clips = len(set(other[1].clips))
    threshold, guaranteed = threshold_of(*other, alpha)
    probabilities, held = scored
    member = sets_of(probabilities, threshold)
    rows = np.arange(len(member))
    covered, sizes = member[rows, held.targets], member.sum(axis=1)
    coverage, names = _by_clip(covered, held.clips)
    interval = bootstrap_interval(coverage, names)
    sure = sizes == 1
    return PredictionSets(
        alpha=alpha,
        split=split,
        clips=clips,
        threshold=threshold,
        guaranteed=guaranteed,
        coverage=float(coverage.mean()),
        interval=interval,
        broken=_is_broken(coverage, clips, alpha),
        mean_size=float(sizes.mean()),
        unsure=float(1 - sure.mean()),
        sure_top1=float(covered[sure].mean()) if sure.any() else None,
    )


def threshold_of(probabilities: Probabilities, held: HeldOutSet, alpha: float) -> tuple[float, bool]:
    """The least probability of a class that is in the set, and whether there are clips enough to promise anything.

    Without enough clips it is the same quantile of what there is, with nothing kept for the unknown.
    """
    rows = np.arange(len(held.targets))
    truth = np.nan_to_num(np.asarray(probabilities, np.float64)[rows, held.targets], nan=0.0, posinf=0.0, neginf=0.0)
    names, member, sizes = np.unique(held.clips, return_inverse=True, return_counts=True)
    guaranteed = len(names) + _ROUNDING >= (1 - alpha) * (len(names) + 1)
    weights = 1 / (sizes[member] * (len(names) + (1 if guaranteed else 0)))
    order = np.argsort(-truth, kind="stable")
    reached = np.cumsum(weights[order]) >= 1 - alpha - _ROUNDING
    return (float(truth[order][reached.argmax()]) if reached.any() else 0.0), guaranteed


def sets_of(probabilities: Probabilities, threshold: float) -> NDArray[np.bool_]:
    """`[N, classes]`: the classes that are probable enough, and always the most probable one. A NaN's row is empty."""
    known = np.asarray(probabilities, np.float64)
    finite = np.isfinite(known).all(axis=1)
    known = np.nan_to_num(known, nan=-1.0)
    best = known == known.max(axis=1, keepdims=True)
    return ((known >= threshold) | best) & np.reshape(finite, (-1, 1))


def _by_clip(covered: NDArray[np.bool_], clips: list[str]) -> tuple[NDArray[np.float64], list[str]]:
    """The share of each clip's images that are covered: every clip counts the same, as in the promise."""
    names, member, sizes = np.unique(clips, return_inverse=True, return_counts=True)
    return np.bincount(member, weights=covered) / sizes, names.tolist()


def _is_broken(coverage: NDArray[np.float64], calibrated_on: int, alpha: float) -> bool:
    """Whether the coverage is lower than chance explains: that of the scored clips, and of those calibrated on.

    Of fewer than five scored clips nothing can be said.
    """
    if len(coverage) < FEW_CLIPS:
        return False
    chance = coverage.var(ddof=1) / len(coverage) + alpha * (1 - alpha) / (calibrated_on + 2)
    return bool(coverage.mean() + _TWO_SIDED * math.sqrt(chance) < 1 - alpha)
