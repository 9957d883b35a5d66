"""What scoring is about: the files, how they are dealt into units of work, and what became of each."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from pipelines.data.sources import CLIP_ENDINGS, printable
from registry.records import Record

_IMAGES = 64
"""Pictures of one unit of work: what an interrupted run may lose, times the workers."""


class SourceFile(Record):
    """A file to score, with the size and the time by which a change is noticed; both are -1 where it cannot be read."""

    file: str
    size: int = -1
    mtime_ns: int = -1

    @property
    def is_video(self) -> bool:
        """Whether it has frames."""
        return Path(self.file).suffix.lower() in CLIP_ENDINGS


class ScoredFile(SourceFile):
    """What became of a file: its rows' bytes within its part, how many they are, and what is wrong with it."""

    start: int = 0
    length: int = 0
    rows: int = 0
    error: str = ""


class Unit(NamedTuple):
    """Files that one worker scores, one after the other."""

    number: int
    files: tuple[SourceFile, ...]


class Unreadable(Record):
    """A file that is left out, or of which only the first frames are scored, and why."""

    file: str
    reason: str
    rows: int = 0

    def __str__(self) -> str:
        kept = f" ({self.rows} frames before that are scored)" if self.rows else ""
        return f"{printable(Path(self.file))}: {self.reason}{kept}"


class Summary(Record):
    """What was scored. `per_second` counts what was scored now, without what an interrupted run had finished."""

    model: str
    out: str
    files: int
    rows: int
    resumed: int
    unreadable: list[Unreadable]
    seconds: float
    per_second: float
    where: str

    def __str__(self) -> str:
        resumed = f", {self.resumed} of them by the run before" if self.resumed else ""
        rate = f" in {self.seconds:.1f} s ({self.per_second:.0f} a second)" if self.per_second else ""
        return f"{self.rows} answers of {self.model} about {self.files} files{resumed}{rate}: {self.out}"


def files_of(paths: Iterable[Path]) -> list[SourceFile]:
    """The files with their stamps."""
    return [_stamped(path) for path in paths]


def units_of(files: Sequence[SourceFile], first: int = 0) -> Iterator[Unit]:
    """Deal files into units in their order: pictures together, each video by itself."""
    number, pictures = first, list[SourceFile]()
    for file in files:
        if pictures and (file.is_video or len(pictures) == _IMAGES):
            yield Unit(number, tuple(pictures))
            number, pictures = number + 1, []
        if file.is_video:
            yield Unit(number, (file,))
            number += 1
        else:
            pictures.append(file)
    if pictures:
        yield Unit(number, tuple(pictures))


def _stamped(path: Path) -> SourceFile:
    try:
        state = os.stat(path)  # noqa: PTH116 a path may hold what Path.stat refuses
    except (OSError, ValueError):
        return SourceFile(file=str(path))
    return SourceFile(file=str(path), size=state.st_size, mtime_ns=state.st_mtime_ns)
