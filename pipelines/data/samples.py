"""Choosing images: held-out ones to measure on, training ones to calibrate with."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from pipelines.data.dataset import DataSet, FrameRow
from registry.digests import sha256_bytes


def held_out(data: DataSet, count: int) -> list[FrameRow]:
    """Up to `count` test frames, the same each time, classes taken in turn so that each is there."""
    return chosen_in_turn(data.rows("test"), count)


def to_compare(data: DataSet, count: int) -> list[FrameRow]:
    """Frames to compare two programs on: held-out ones, and where there are fewer than `count`, of val and train as well.

    No score is taken from them, so frames that a network was trained on do as well.
    """
    rows = list[FrameRow]()
    for split in ("test", "val", "train"):
        rows += chosen_in_turn(data.rows(split), count - len(rows))
    return rows


def for_calibration(data: DataSet, count: int) -> list[FrameRow]:
    """Up to `count` training frames, chosen in the same way: what a quantised network's ranges are taken from."""
    return chosen_in_turn(data.rows("train"), count)


def chosen_in_turn(rows: Sequence[FrameRow], count: int) -> list[FrameRow]:
    """Up to `count` of the frames, the same each time, classes taken in turn so that each is there."""
    queues: dict[str, list[FrameRow]] = defaultdict(list)
    for row in sorted(rows, key=lambda row: sha256_bytes(row.file.encode())):
        queues[row.label].append(row)
    chosen: list[FrameRow] = []
    while queues and len(chosen) < count:
        for label in sorted(queues):
            chosen.append(queues[label].pop())
            if not queues[label]:
                del queues[label]
    return chosen[:count]
