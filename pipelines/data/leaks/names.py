"""Recordings that are numbered through several splits, such as frame_0012 in train and frame_0013 in val.

Numbers alone say little: many collections are numbered at random. So the pictures are asked: a numbering is that of a
recording where pictures beside each other in it are clearly nearer than any two pictures of the set; and a recording ends
where the numbers jump or the scene changes.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import PurePosixPath

import numpy as np
from numpy.typing import NDArray

from pipelines.data.leaks.measure import Pictures, background_difference

_NUMBER = re.compile(r"^(.*?)(\d+)(\D*)$", re.DOTALL)
_OWN_ENDING = re.compile(r"-[0-9a-f]{8}$")
"""What `frames` puts behind an image's own name."""
_FEWEST = 8
"""Pairs of neighbours that a judgement takes."""
_ORDERED = 0.6
"""Neighbours' median difference, as a share of that of any two pictures, below which a numbering is in order of time."""
_GAP = 3
"""Times the usual step: a longer one ends a recording."""
_PAIRS = 4000
_BATCH = 512


@dataclass(frozen=True, slots=True)
class Named:
    """A picture's name and class, as the user knows them, and its split."""

    name: str
    label: str
    split: str


@dataclass(frozen=True, slots=True)
class Sequel:
    """A held-out picture, one of an earlier split in the same recording, and how many numbers lie between them."""

    held_out: int
    earlier: int
    between: int
    text: str


def sequels(named: Sequence[Named], pictures: Pictures, order: Sequence[str]) -> Iterator[Sequel]:
    """The pictures that continue a recording of an earlier split. `order`: the splits, the earliest first."""
    sequences = _sequences(named)
    steps = [pair for sequence in sequences for pair in pairwise(sequence)]
    across = {named[place].split for sequence in sequences for _, place in sequence}
    if len(steps) < _FEWEST or len(across) < len({"earlier", "later"}):
        return
    distances = _differences(pictures, [(before[1], after[1]) for before, after in steps])
    cut = _cut(pictures, distances, [place for sequence in sequences for _, place in sequence])
    if cut is None:
        return
    ends = {after[1] for (_, after), distance in zip(steps, distances, strict=True) if distance > cut}
    for sequence in sequences:
        usual = float(np.median([after[0] - before[0] for before, after in pairwise(sequence)] or [1]))
        for run in _runs(sequence, ends, _GAP * max(usual, 1)):
            yield from _crossing(run, named, order)


def _sequences(named: Sequence[Named]) -> list[list[tuple[int, int]]]:
    """Pictures that are numbered under one prefix, as (number, place) in order; by class where numbers come twice."""
    together, apart = defaultdict[str, list[tuple[int, int]]](list), defaultdict[tuple[str, str], list[tuple[int, int]]](list)
    for place, picture in enumerate(named):
        match = _NUMBER.match(_OWN_ENDING.sub("", PurePosixPath(picture.name).stem))
        if match:
            prefix, number = f"{match[1]}#{match[3]}", int(match[2])
            together[prefix].append((number, place))
            apart[prefix, picture.label].append((number, place))
    unique = {prefix for prefix, members in together.items() if len({number for number, _ in members}) == len(members)}
    chosen = [members for prefix, members in together.items() if prefix in unique]
    chosen += [members for (prefix, _), members in apart.items() if prefix not in unique]
    return [sorted(members) for members in chosen if len(members) > 1]


def _cut(pictures: Pictures, distances: NDArray[np.float32], places: Sequence[int]) -> float | None:
    """The difference from which on the scene has changed; None where the numbering is not that of recordings."""
    draws = np.random.default_rng(len(places)).integers(0, len(places), (_PAIRS, 2)).tolist()
    pairs = [(places[left], places[right]) for left, right in draws if left != right]
    anywhere = float(np.median(_differences(pictures, pairs))) if pairs else 0.0
    beside = max(float(np.median(distances)), 0.5)
    return float(np.sqrt(beside * anywhere)) if beside <= _ORDERED * anywhere else None


def _differences(pictures: Pictures, pairs: Sequence[tuple[int, int]]) -> NDArray[np.float32]:
    parts = [np.asarray(pairs[start : start + _BATCH]) for start in range(0, len(pairs), _BATCH)]
    return np.concatenate([background_difference(pictures[part[:, 0]], pictures[part[:, 1]]) for part in parts])


def _runs(sequence: Sequence[tuple[int, int]], ends: set[int], gap: float) -> Iterator[list[tuple[int, int]]]:
    """A sequence in its recordings."""
    run = list[tuple[int, int]]()
    for number, place in sequence:
        if run and (number - run[-1][0] > gap or place in ends):
            yield run
            run = []
        run.append((number, place))
    yield run


def _crossing(run: Sequence[tuple[int, int]], named: Sequence[Named], order: Sequence[str]) -> Iterator[Sequel]:
    """The later splits' pictures of a recording that an earlier split has pictures of."""
    by_split = [[member for member in run if named[member[1]].split == split] for split in order]
    for rank, members in enumerate(by_split):
        earlier = sorted(member for part in by_split[:rank] for member in part)
        for number, place in members if earlier else ():
            at = bisect_left(earlier, (number, place))
            away, nearest = min((abs(other - number), other_place) for other, other_place in earlier[max(at - 1, 0) : at + 1])
            names = [PurePosixPath(named[member].name).name for member in (place, nearest)]
            yield Sequel(place, nearest, max(away - 1, 0), f"{names[0]} and {names[1]} are numbered in one recording")
