"""Clips that are drawn instead of filmed: a source whose members and pictures a test says, as quick as it can be."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

from PIL import Image

from pipelines.data.dataset import Box, Progress
from pipelines.data.source import Member, Picture
from registry.digests import sha256_bytes


@cache
def png(seed: int) -> bytes:
    """A picture of its own."""
    Image.new("RGB", (4, 4), (seed % 251, seed // 251 % 251, seed // 63001)).save(held := io.BytesIO(), "PNG")
    return held.getvalue()


@dataclass(frozen=True)
class DrawnSource:
    """Name (`class/clip`) → what it shows: the same number is the same bytes. Each clip has two frames."""

    clips: Mapping[str, int]
    origin: Path = Path("/nowhere/clips")
    kind: Literal["clips", "images"] = "clips"
    task: Literal["classify", "detect"] = "classify"
    format: str = ""
    groups: Literal["known", "unknown"] = "known"
    boxes: Mapping[int, tuple[Box, ...]] | None = None

    @property
    def labels(self) -> Sequence[str]:
        return sorted({label for name, number in self.clips.items() for label in self._labels(name, number)})

    def members(self) -> Sequence[Member]:
        return [self._member(name, number) for name, number in self.clips.items()]

    def pictures(self, progress: Progress) -> Iterator[Picture]:
        for name, number in self.clips.items():
            label, clip = name.split("/")
            for frame in range(2):
                boxes = self.boxes[number] if self.boxes else None
                held = "" if boxes is not None else label
                yield Picture(
                    name, f"{clip}-{frame}.png", png(2 * number + frame), self._member(name, number), held, boxes=boxes
                )
        progress("clips", 1, 1)

    def report(self) -> dict[str, Any]:
        return {}

    def _labels(self, name: str, number: int) -> set[str]:
        return {box.label for box in self.boxes[number]} if self.boxes else {name.split("/", maxsplit=1)[0]}

    def _member(self, name: str, number: int) -> Member:
        return Member(name, sha256_bytes(f"clip {number}".encode()), frozenset(self._labels(name, number)))
