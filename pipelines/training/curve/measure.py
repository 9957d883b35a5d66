"""Accuracy on clips that were left out, by how many clips a head learnt from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipelines.training.curve.heads import answers
from pipelines.training.curve.pool import NEVER, Draw, Indices, Pool, Rows

_STEP, _MOST_SIZES = 1.5, 7


@dataclass(frozen=True)
class Measured:
    """What was measured: for every draw, clip and size the share of the clip's images that was right, `[draws, clips, sizes]`.

    NaN where a clip was not scored in a draw. `weights` counts each clip's images; `kinds` is how many classes a clip has,
    which are as many things that it tells; `classes`, how many classes are counted.
    """

    sizes: tuple[float, ...]
    scores: Rows
    weights: Rows
    kinds: Rows
    classes: int = 1

    @property
    def scored(self) -> NDArray[np.bool_]:
        """Which clips were scored at all: those of a split that is kept for training never are."""
        return np.asarray(~np.isnan(self.scores).all((0, 2)))


def sizes_to(most: int) -> tuple[int, ...]:
    """How many clips are learnt from: down from the most there are, by a third at a time, seven at most; ascending."""
    sizes = [most]
    while sizes[-1] > 1 and len(sizes) < _MOST_SIZES:
        sizes.append(min(sizes[-1] - 1, round(sizes[-1] / _STEP)))
    return tuple(size for size in reversed(sizes) if size > 0)


def measure(pool: Pool, drawn: Sequence[Draw], label: int | None, on_draw: Callable[[], None] = lambda: None) -> Measured:
    """The curve of a class, whose clips alone are counted and varied while the others' are all there; None: of all together.

    Of all together the same share of each class's clips is learnt from, and a size is the mean number of clips of a class.
    """
    limits = _limits(pool, label)
    counted = np.full(len(pool.targets), fill_value=True) if label is None else pool.targets == label
    clips = np.unique(pool.clips[counted])
    scores = np.full((len(drawn), len(clips), len(limits)), np.nan)
    for number, draw in enumerate(drawn):
        asked = draw.held & counted
        for at, (_, most) in enumerate(limits):
            if not asked.any():
                break
            given = _given(pool, draw.ranks < most[pool.targets], asked)
            scores[number, :, at] = _by_clip(given == pool.targets[asked], pool.clips[asked], clips)
        on_draw()
    weights = np.array([(counted & (pool.clips == clip)).sum() for clip in clips], np.float64)
    kinds = np.array([len(np.unique(pool.targets[counted & (pool.clips == clip)])) for clip in clips], np.float64)
    sizes = tuple(size for size, _ in limits)
    return Measured(sizes, scores, weights, kinds, len(np.unique(pool.targets[counted])))


def class_scores(pool: Pool, drawn: Sequence[Draw]) -> list[float]:
    """The share of each class's images that is recognized with all clips to learn from; 1 where none is scored."""
    right, asked = np.zeros(len(pool.labels)), np.zeros(len(pool.labels))
    for draw in drawn:
        if draw.held.any():
            targets = pool.targets[draw.held]
            given = _given(pool, draw.ranks < NEVER, draw.held)
            right += np.bincount(targets, given == targets, minlength=len(pool.labels))
            asked += np.bincount(targets, minlength=len(pool.labels))
    return np.where(asked > 0, right / np.maximum(asked, 1), 1.0).tolist()


def _limits(pool: Pool, label: int | None) -> list[tuple[float, Indices]]:
    """The sizes, and of how many clips of each class each of them is."""
    most = np.array([pool.most_learnt_from(each) for each in range(len(pool.labels))])
    if label is not None:
        rest = np.full(len(most), NEVER)
        return [(size, np.where(np.arange(len(most)) == label, size, rest)) for size in sizes_to(int(most[label]))]
    limits = [np.maximum(1, np.round(most * size / most.max())).astype(np.int64) for size in sizes_to(int(most.max()))]
    return [(float(np.minimum(limit, np.maximum(most, 1)).mean()), limit) for limit in limits]


def _given(pool: Pool, learnt: NDArray[np.bool_], asked: NDArray[np.bool_]) -> Indices:
    return answers(pool.features[learnt], pool.targets[learnt], len(pool.labels), pool.features[asked])


def _by_clip(right: NDArray[np.bool_], clips: Indices, every: Indices) -> Rows:
    """The share that is right of each clip; NaN for clips that were not asked."""
    at = np.searchsorted(every, clips)
    asked = np.bincount(at, minlength=len(every))
    with np.errstate(invalid="ignore"):
        return np.bincount(at, right, minlength=len(every)) / np.where(asked, asked, np.nan)
