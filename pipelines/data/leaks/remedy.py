"""What helps against a leak: which command deals such a data set again, and where dealing again cannot help."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence

from pipelines.data.dataset import FrameRow, Manifest
from pipelines.data.leaks.report import Leak
from validation.data.words import listed

_NEARLY_ALL = 0.8
"""The share of a class's held-out pictures; some are too plain, or too far moved, to be seen."""


def dealing_again(manifest: Manifest) -> str:
    """The command, with `--group` only where nobody said which pictures belong together."""
    if manifest.source == "images" and manifest.groups == "unknown":
        return "modelyard import DIR --resplit --group REGEX"
    return "modelyard import DIR --resplit" if manifest.format else "modelyard frames --resplit"


def without_other_scene(rows: Sequence[FrameRow], leaks: Iterable[Leak]) -> str:
    """The classes whose held-out pictures nearly all show scenes of an earlier split, as a subject; empty where there are none.

    However these are dealt, their scenes are on both sides.
    """
    seen = {leak.file_b for leak in leaks if leak.kind in {"scene", "near_duplicate"}}
    held_out: dict[str, list[bool]] = defaultdict(list)
    for row in rows:
        if row.split != "train" and row.label:
            held_out[row.label].append(row.file in seen)
    stuck = sorted(label for label, flags in held_out.items() if sum(flags) >= _NEARLY_ALL * len(flags))
    if not stuck:
        return ""
    if len(stuck) == len({row.label for row in rows}):
        return "every class"
    return f"class {listed(stuck)}" if len(stuck) == 1 else f"each of the classes {listed(stuck)}"
