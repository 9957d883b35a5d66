"""What a reader of one format makes of a folder: pictures with their class or boxes, and what to say of the rest."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from pipelines.data.dataset import Box, SplitName
from pipelines.data.importing.listing import LeftOut

_SPLITS: dict[str, SplitName] = {
    "train": "train", "training": "train", "trainval": "train", "val": "val", "valid": "val", "validation": "val", "dev": "val",
    "test": "test", "testing": "test",
}  # fmt: skip
_DIGITS = 7
"""Of a share: a ten thousandth of a pixel, in the widest picture."""


class UnreadableError(Exception):
    """A picture's annotation cannot be understood; the text says why."""


@dataclass(frozen=True, slots=True)
class RawBox:
    """A box as an annotation has it. `source`: its numbers, as they are written there."""

    label: str
    left: float
    top: float
    right: float
    bottom: float
    source: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Entry:
    """One picture of a layout, relative to the folder.

    `boxes` are shares of `size`, of the picture's own pixels if that is None; `declared`: that is the size in pixels which
    the annotation says the picture has. `group`: what it belongs to, where the layout tells.
    """

    file: Path
    label: str = ""
    split: SplitName | None = None
    boxes: tuple[RawBox, ...] | None = None
    size: tuple[float, float] | None = None
    declared: bool = False
    group: str = ""

    def placed(self, width: int, height: int) -> tuple[Box, ...] | None:
        """Its boxes as shares of the picture, whose sides are known now. Raises UnreadableError if they are another's."""
        if self.boxes is None:
            return None
        across, down = self.size or (width, height)
        if self.size and self.declared and not _same_shape(self.size, (width, height)):
            raise UnreadableError(f"its boxes are for {across:g}x{down:g} pixels, but upright it is {width}x{height}")
        return tuple(
            Box(
                label=box.label,
                left=round(box.left / across, _DIGITS),
                top=round(box.top / down, _DIGITS),
                right=round(box.right / across, _DIGITS),
                bottom=round(box.bottom / down, _DIGITS),
                source=box.source,
            )
            for box in self.boxes
        )


@dataclass
class Layout:
    """A folder, understood. `used`: files that are no pictures and were read; `notes`: sentences for its owner."""

    format: str
    task: Literal["classify", "detect"]
    labels: list[str]
    entries: list[Entry] = field(default_factory=list[Entry])
    left_out: list[LeftOut] = field(default_factory=list[LeftOut])
    used: set[Path] = field(default_factory=set[Path])
    notes: list[str] = field(default_factory=list[str])
    unnamed: str = "no annotation names it"
    """Why a picture is left out that is in no entry."""


def _same_shape(declared: Sequence[float], real: Sequence[int]) -> bool:
    """Whether a picture may be a scaled copy of the one that was annotated: a pixel or two of rounding is allowed."""
    across, down = real[0] / declared[0], real[1] / declared[1]
    return abs(across - down) * max(declared) <= 2 * max(1.0, across)


def split_name(name: str) -> SplitName | None:
    """The split that a folder is named after."""
    return _SPLITS.get(name.lower())


def split_in(path: Path) -> SplitName | None:
    """The split that a path names in one of its words, the last first: `annotations/instances_val2017.json`, `valid/x.xml`."""
    for part in reversed(path.parts):
        words = re.split(r"[^a-z]+", part.lower())
        splits: set[SplitName] = {_SPLITS[word] for word in words if word in _SPLITS}
        if len(splits) == 1:
            return splits.pop()
    return None


def number(value: object) -> float:
    """A finite number, out of JSON or text. Raises UnreadableError."""
    try:
        result = math.nan if isinstance(value, bool) else float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        result = math.nan
    if not math.isfinite(result):
        raise UnreadableError(f"{str(value)[:40]!r} is not a number")
    return result


def around(label: str, xs: Sequence[float], ys: Sequence[float], source: Iterable[float]) -> RawBox:
    """The box around points."""
    if not xs or len(xs) != len(ys):
        raise UnreadableError("an outline has no points")
    return RawBox(label, min(xs), min(ys), max(xs), max(ys), tuple(source))


def plural(count: int, what: str) -> str:
    """`1 image`, `2 images`, `2 classes`."""
    return f"{count:,} {what}" if count == 1 else f"{count:,} {what}{'es' if what.endswith('s') else 's'}"
