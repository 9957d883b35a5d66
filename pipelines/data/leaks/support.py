"""Which of the weaker evidence counts: a scene, a numbering or a time may agree by chance, in single pictures.

Two people before one board give pairs of pictures that pass for one scene. A take that was cut in two gives most of its
pictures. So a few pictures count only where the evidence is strong by itself.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Literal

from pipelines.data.dataset import FrameRow
from pipelines.data.leaks.report import Leak

_STRONG = 1.5
"""Grey levels of a scene that no two rooms came near to; see docs/data-leaks.md."""
_WEAK = ("scene", "name_sequence", "capture_time")
_FEWEST, _LEAST = 3, 0.10
"""So many pictures, and so large a share of a split, are no chance any more. Of the photographs of 200 signers, split by
signer, up to 6 % of a split passed for a scene of another signer, and most of them had been taken before the same board."""
_MAJORITY = 0.5
"""Of a clip or group, where they are known."""


_SURE_COPY = 6.0
"""Grey levels; digits on paper came as near as 6.3 shifted, and 12.6 mirrored, in 360 held-out pictures."""
SHIFTED = "shifted"
"""The word by which a copy that was laid onto another picture says so."""


def _is_weak(leak: Leak, groups: Literal["known", "unknown"]) -> bool:
    """Whether it may be chance. Two plain things on plain paper, such as digits, can be laid onto each other like copies."""
    if leak.kind == "near_duplicate":
        return groups == "known" and (SHIFTED in leak.text or leak.value > _SURE_COPY)
    return leak.kind in _WEAK and not (leak.kind == "scene" and leak.value <= _STRONG)


def supported(leaks: Sequence[Leak], rows: Sequence[FrameRow], groups: Literal["known", "unknown"]) -> list[Leak]:
    """The leaks without those that chance explains."""
    kept = list[Leak]()
    clips = {row.file: (row.split, row.clip) for row in rows}
    of_split = Counter(row.split for row in rows)
    of_clip = Counter(clips.values())
    in_split = Counter((leak.kind, leak.split_b) for leak in leaks)
    in_clip = Counter((leak.kind, clips[leak.file_b]) for leak in leaks)
    for leak in leaks:
        if not _is_weak(leak, groups):
            kept.append(leak)
            continue
        clip = clips[leak.file_b]
        kinds = ("near_duplicate", "scene") if leak.kind == "near_duplicate" else (leak.kind,)
        if groups == "known" and sum(in_clip[kind, clip] for kind in kinds) < max(2, _MAJORITY * of_clip[clip]):
            continue
        if sum(in_split[kind, leak.split_b] for kind in kinds) >= max(_FEWEST, _LEAST * of_split[leak.split_b]):
            kept.append(leak)
    return kept
