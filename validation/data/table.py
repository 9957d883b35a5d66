"""The table that data checks look at: one row a picture, one a label of a picture, one a box."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Literal, NamedTuple

import pandas as pd

from validation.data.pictures import measure_picture

_MOST_THREADS = 4
_IDENTITY = ("file", "sha256", "clip", "clip_sha256", "label", "split", "width", "height")


class CheckedBox(NamedTuple):
    """A box of a detector's picture: its class and its sides as shares of the picture, from the top left."""

    label: str
    left: float
    top: float
    right: float
    bottom: float


@dataclass(frozen=True, slots=True)
class CheckedFrame:
    """What a data set says of one frame, and where its picture lies. `boxes`: None for a classifier's."""

    path: Path
    sha256: str
    clip: str
    clip_sha256: str
    label: str
    split: str
    width: int
    height: int
    boxes: Sequence[CheckedBox] | None = None


@dataclass(frozen=True)
class CheckedData:
    """A data set as checks see it.

    `frames`: one row a picture, with its identity and its figures (see `pictures.FIGURES`). `boxes`: one row a box, with the
    picture's row in `frame`. `shares`: the share that a split was dealt, where it was dealt.
    """

    labels: Sequence[str]
    frames: pd.DataFrame
    boxes: pd.DataFrame = field(default_factory=lambda: box_table([]))
    task: Literal["classify", "detect"] = "classify"
    source: Literal["clips", "images"] = "clips"
    groups_known: bool = True
    shares: Mapping[str, float] = field(default_factory=dict[str, float])
    input_side: int = 640
    """Pixels of the longer side that a detector is given."""

    @cached_property
    def examples(self) -> pd.DataFrame:
        """What is learned from: the pictures of a classifier, the boxes of a detector. Columns frame, label, split, clip."""
        if self.task == "classify":
            return self.frames[["label", "split", "clip"]].assign(frame=self.frames.index)
        rows = self.frames.loc[self.boxes["frame"], ["split", "clip"]].reset_index(drop=True)
        return rows.assign(label=self.boxes["label"].to_numpy(), frame=self.boxes["frame"].to_numpy())

    @property
    def members(self) -> str:
        """What is dealt to a split as a whole, in the singular."""
        return "clip" if self.source == "clips" else "group" if self.groups_known else "picture"

    @property
    def adding(self) -> str:
        """What one does to have more."""
        return "film" if self.source == "clips" else "add"


def frame_table(frames: Iterable[CheckedFrame]) -> pd.DataFrame:
    """One row a picture: identity, size, and what is measured of it. Pictures are decoded by several threads."""
    with ThreadPoolExecutor(min(os.cpu_count() or 1, _MOST_THREADS)) as threads:
        rows = list(threads.map(_measure, frames))
    return pd.DataFrame(rows)


def box_table(frames: Iterable[CheckedFrame]) -> pd.DataFrame:
    """One row a box: frame (its picture's row), label and sides."""
    rows = [(index, *box) for index, frame in enumerate(frames) for box in frame.boxes or ()]
    return pd.DataFrame(rows, columns=pd.Index(["frame", *CheckedBox._fields]))


def _measure(frame: CheckedFrame) -> dict[str, object]:
    identity = {name: getattr(frame, name) for name in _IDENTITY if name != "file"}
    return {"file": frame.path.name, **identity, **measure_picture(frame.path, frame.width, frame.height)}
