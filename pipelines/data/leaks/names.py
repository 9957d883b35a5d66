"""Pictures that are numbered under one name, such as frame_0012 in train and frame_0013 in val."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import PurePosixPath

import numpy as np

from pipelines.data.leaks.recordings import Jumps, Member

_NUMBER = re.compile(r"^(.*?)(\d{1,15})(\D*)$", re.DOTALL)
_OWN_ENDING = re.compile(r"-[0-9a-f]{8}$")
"""What `frames` puts behind an image's own name."""
_GAP = 3
"""Times the usual step: a longer one ends a recording."""


def numbered(names: Sequence[tuple[str, str]]) -> list[list[Member]]:
    """Sequences of pictures that are numbered under one prefix. `names`: each picture's name and class.

    By class where numbers come twice: frame_0001 of either class is then another picture.
    """
    together, apart = defaultdict[str, list[Member]](list), defaultdict[tuple[str, str], list[Member]](list)
    for position, (name, label) in enumerate(names):
        match = _NUMBER.match(_OWN_ENDING.sub("", PurePosixPath(name).stem))
        if match:
            prefix, number = f"{match[1]}#{match[3]}", int(match[2])
            together[prefix].append((number, position))
            apart[prefix, label].append((number, position))
    unique = {prefix for prefix, members in together.items() if len({number for number, _ in members}) == len(members)}
    chosen = [members for prefix, members in together.items() if prefix in unique]
    chosen += [members for (prefix, _), members in apart.items() if prefix not in unique]
    return [sorted(members) for members in chosen if len(members) > 1]


def jumps_of(sequences: Sequence[Sequence[Member]], seconds: Mapping[int, float], pause: float) -> Jumps:
    """Whether numbers jump beyond the usual step of their sequence, or the clock beyond a pause where the files have one."""
    usual = dict[int, float]()
    for sequence in sequences:
        step = float(np.median([after[0] - before[0] for before, after in pairwise(sequence)]))
        usual |= dict.fromkeys((position for _, position in sequence), max(step, 1.0))

    def jumps(before: Member, after: Member) -> bool:
        if after[0] - before[0] > _GAP * usual[after[1]]:
            return True
        if before[1] in seconds and after[1] in seconds:
            return abs(seconds[after[1]] - seconds[before[1]]) > pause
        return False

    return jumps
