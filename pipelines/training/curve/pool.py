"""The images that a learning curve is measured on, as features; and the clips that are drawn to learn from and to score."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[np.float64]
Indices = NDArray[np.int64]
_MOST_FEATURES = 256
"""Directions that are kept: exact for as many images, and beyond them what little varies tells no class from another."""
_HELD = 4
"""One clip in so many is scored in a draw, and not learnt from."""
NEVER = np.iinfo(np.int64).max


@dataclass(frozen=True)
class Pool:
    """Images as features `[N, F]` with their class and clip by index.

    `trained`: how many clips of each class the train split has. `scorable`: the clips that may be held out to be scored, by
    index, all of them where the curve is cross-validated over train and val.
    """

    features: Rows
    targets: Indices
    clips: Indices
    labels: Sequence[str]
    trained: Sequence[int]
    scorable: frozenset[int]

    def clips_of(self, label: int) -> list[int]:
        """The clips that have a class."""
        return np.unique(self.clips[self.targets == label]).tolist()

    def most_learnt_from(self, label: int) -> int:
        """How many clips of a class can be learnt from while others of it are scored."""
        clips = self.clips_of(label)
        scorable = self.scorable.intersection(clips)
        if len(scorable) < len(clips):
            return len(clips) - len(scorable)
        return len(clips) - held_of(len(clips))


def held_of(clips: int) -> int:
    """How many of a class's clips are scored in a draw: two at least where that leaves more to learn from."""
    least = 2 if clips > _HELD else 1
    return min(clips, max(least, round(clips / _HELD)))


def rotated(features: NDArray[np.float32]) -> Rows:
    """The same images in the few directions in which they differ, each feature having counted the same: `[N, at most 256]`.

    Distances stay what they are where there are no more images than directions. No class is looked at.
    """
    rows = features.astype(np.float64)
    rows = (rows - rows.mean(0)) / (rows.std(0) + 1e-3) / np.sqrt(rows.shape[1])
    left, scale, _ = np.linalg.svd(rows, full_matrices=False) if len(rows) <= rows.shape[1] else _tall(rows)
    return (left * scale)[:, :_MOST_FEATURES]


def _tall(rows: Rows) -> tuple[Rows, Rows, Rows]:
    """The singular vectors of more rows than columns, by way of the columns' small matrix."""
    values, vectors = np.linalg.eigh(rows.T @ rows)
    scale = np.sqrt(np.maximum(values[::-1], 1e-12))
    right = vectors[:, ::-1]
    return rows @ right / scale, scale, right.T


@dataclass(frozen=True)
class Draw:
    """Which clips are scored, as a flag an image, and which are learnt from.

    `ranks`: the place of each image's clip in the order in which those of its class are learnt from: the first n are those
    with a rank below n. What is scored is never learnt from.
    """

    held: NDArray[np.bool_]
    ranks: Indices


def draws(pool: Pool, count: int, seed: int) -> list[Draw]:
    """So many draws. Every clip is scored equally often, as nearly as can be."""
    random = np.random.default_rng(seed)
    every = np.unique(pool.clips)
    times = dict.fromkeys(every.tolist(), 0)
    return [_draw(pool, every, times, random) for _ in range(count)]


def _draw(pool: Pool, every: Indices, times: dict[int, int], random: np.random.Generator) -> Draw:
    order: list[int] = random.permutation(every).tolist()
    held = set(pool.scorable) if len(pool.scorable) < len(every) else _held(pool, order, times)
    for clip in held:
        times[clip] += 1
    ranks = np.full(len(pool.targets), NEVER)
    for label in range(len(pool.labels)):
        of_label = pool.targets == label
        having = set(pool.clips[of_label].tolist())
        learnt = [clip for clip in order if clip in having and clip not in held]
        for rank, clip in enumerate(learnt):
            ranks[of_label & (pool.clips == clip)] = rank
    return Draw(np.isin(pool.clips, list(held)), ranks)


def _held(pool: Pool, order: Sequence[int], times: dict[int, int]) -> set[int]:
    """Clips to score: a share of each class's, those first that were scored least often; one of a class stays to learn from."""
    held = set[int]()
    for label in range(len(pool.labels)):
        clips = set(pool.clips_of(label))
        wanted = held_of(len(clips)) if len(clips) > 1 else 0
        free = sorted((clip for clip in order if clip in clips - held), key=lambda clip: times[clip])
        held.update(free[: max(0, wanted - len(held & clips))])
    return held
