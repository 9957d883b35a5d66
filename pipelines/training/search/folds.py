"""Data sets of a search: train and val only, and k parts of them in which each clip is on one side."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from pipelines.data.dataset import DataSet, FrameRow, SplitName
from registry.errors import InputError


def without_test(data: DataSet) -> DataSet:
    """A data set without its test split, over the same files."""
    rows = [row for row in data.manifest.frames if row.split != "test"]
    return DataSet(data.folder, data.manifest.model_copy(update={"frames": rows}), data.name)


def folds_of(data: DataSet, folds: int, seed: int) -> list[DataSet]:
    """Train and val dealt into parts by clip: each part is val once, the others are train then. Test is in none.

    Classes are as even over the parts as their clips allow. Raises InputError where a class has fewer clips than parts.
    """
    rows = without_test(data).manifest.frames
    _check_clips(data, rows, folds)
    from sklearn.model_selection import StratifiedGroupKFold

    labels, clips = [row.label for row in rows], [row.clip for row in rows]
    dealing = StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
    parts = [{int(index) for index in held} for _, held in dealing.split(np.zeros(len(rows)), labels, clips)]
    return [_dealt(data, rows, part) for part in parts]


def _check_clips(data: DataSet, rows: Sequence[FrameRow], folds: int) -> None:
    clips = defaultdict[str, set[str]](set)
    for row in rows:
        for label in row.labels:
            clips[label].add(row.clip)
    fewest = min(clips, key=lambda label: len(clips[label]), default=None)
    if fewest is None or len(clips[fewest]) < folds:
        number = len(clips[fewest]) if fewest else 0
        why = f"class {fewest} has {number} clips in train and val, which are too few for {folds} folds"
        raise InputError(data.name, why, f"film more of it, or lower `search: {{folds: {folds}}}`")


def _dealt(data: DataSet, rows: Sequence[FrameRow], held: set[int]) -> DataSet:
    def split(index: int) -> SplitName:
        return "val" if index in held else "train"

    frames = [row.model_copy(update={"split": split(index)}) for index, row in enumerate(rows)]
    return DataSet(data.folder, data.manifest.model_copy(update={"frames": frames}), data.name)
