"""Pictures in an order (by number, by time): where a recording ends, and which recordings run through several splits.

An order alone says little: many collections are numbered at random, and people stand in a queue before a camera. So the
pictures are asked. An order is that of recordings where pictures beside each other in it are clearly nearer than any two
pictures of the set, and a recording ends where the order jumps or the scene changes.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from pipelines.data.dataset import SPLITS
from pipelines.data.leaks.measure import Pictures, background_difference

Member = tuple[float, int]
"""Where a picture stands in the order, and its position among all pictures."""
Jumps = Callable[[Member, Member], bool]
"""Whether the order jumps between two that follow each other."""

_FEWEST = 8
"""Pairs of neighbours that a judgement takes."""
_ORDERED = 0.6
"""Neighbours' median difference, as a share of that of any two pictures, below which an order is one of time."""
_PAIRS = 4000
_BATCH = 512


@dataclass(frozen=True, slots=True)
class Crossing:
    """A held-out picture, the nearest one of an earlier split in the same recording, and how far apart they are in it."""

    held_out: int
    earlier: int
    apart: float


def crossings(
    sequences: Sequence[Sequence[Member]], pictures: Pictures, splits: Sequence[str], jumps: Jumps
) -> Iterator[Crossing]:
    """The pictures that continue a recording of an earlier split. `splits` has each picture's."""
    steps = [pair for sequence in sequences for pair in pairwise(sequence) if not jumps(*pair)]
    if len(steps) < _FEWEST:
        return
    distances = _differences(pictures, [(before[1], after[1]) for before, after in steps])
    cut = _cut(pictures, distances, [position for sequence in sequences for _, position in sequence])
    if cut is None:
        return
    follows = {after[1] for (_, after), distance in zip(steps, distances.tolist(), strict=True) if distance <= cut}
    for sequence in sequences:
        for run in _runs(sequence, follows):
            yield from _crossing(run, splits)


def _cut(pictures: Pictures, distances: NDArray[np.float32], places: Sequence[int]) -> float | None:
    """The difference from which on the scene has changed; None where the order is not that of recordings."""
    draws = np.random.default_rng(len(places)).integers(0, len(places), (_PAIRS, 2)).tolist()
    pairs = [(places[left], places[right]) for left, right in draws if left != right]
    anywhere = float(np.median(_differences(pictures, pairs))) if pairs else 0.0
    beside = max(float(np.median(distances)), 0.5)
    return float(np.sqrt(beside * anywhere)) if beside <= _ORDERED * anywhere else None


def _differences(pictures: Pictures, pairs: Sequence[tuple[int, int]]) -> NDArray[np.float32]:
    parts = [np.asarray(pairs[start : start + _BATCH]) for start in range(0, len(pairs), _BATCH)]
    return np.concatenate([background_difference(pictures[part[:, 0]], pictures[part[:, 1]]) for part in parts])


def _runs(sequence: Sequence[Member], follows: set[int]) -> Iterator[list[Member]]:
    """A sequence in its recordings."""
    run = list[Member]()
    for member in sequence:
        if run and member[1] not in follows:
            yield run
            run = []
        run.append(member)
    yield run


def _crossing(run: Sequence[Member], splits: Sequence[str]) -> Iterator[Crossing]:
    """The later splits' pictures of a recording that an earlier split has pictures of."""
    by_split = [[member for member in run if splits[member[1]] == split] for split in SPLITS]
    for rank, members in enumerate(by_split):
        earlier = sorted(member for part in by_split[:rank] for member in part)
        for at, position in members if earlier else ():
            here = bisect_left(earlier, (at, position))
            apart, nearest = min((abs(other - at), other_place) for other, other_place in earlier[max(here - 1, 0) : here + 1])
            yield Crossing(position, nearest, apart)
