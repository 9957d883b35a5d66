"""What a data set is made of: members that are dealt to splits, and pictures that are drawn from them one by one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

from pipelines.data.dataset import Box, Progress, SplitName
from pipelines.data.sources import printable

_LONGEST_NAME = 255
"""Bytes of a file's name, on every file system that is common."""


@dataclass(frozen=True, slots=True)
class Member:
    """What goes to one split as a whole: a clip, or one image of a group. It is known before anything is decoded."""

    clip: str
    digest: str
    labels: frozenset[str]
    split: SplitName | None = None
    """Where it was put by who made the folder."""


@dataclass(frozen=True, slots=True)
class Picture:
    """A frame that has yet to be written. `source` is what errors call it, `name` the file's name in the data set.

    `file`: its path below the folder that was read, where it is a file of its own.
    """

    source: str
    name: str
    content: bytes
    member: Member
    label: str
    file: str = ""
    boxes: tuple[Box, ...] | None = None
    seconds: float | None = None
    captured: str = ""
    size: tuple[int, int] | None = None
    """Its width and height, where it was decoded already."""


class Source(Protocol):
    """A folder of clips or images that was looked at; nothing is decoded until pictures are drawn."""

    @property
    def origin(self) -> Path:
        """The folder."""
        ...

    @property
    def kind(self) -> Literal["clips", "images"]:
        """What is in it."""
        ...

    @property
    def task(self) -> Literal["classify", "detect"]:
        """What its labels are for."""
        ...

    @property
    def labels(self) -> Sequence[str]:
        """Its classes, in the order of the network's outputs."""
        ...

    @property
    def format(self) -> str:
        """How it is laid out, where it was imported."""
        ...

    @property
    def groups(self) -> Literal["known", "unknown"]:
        """Whether anything says which pictures belong together."""
        ...

    def members(self) -> Sequence[Member]:
        """All members."""
        ...

    def pictures(self, progress: Progress) -> Iterator[Picture]:
        """Every picture, one in memory at a time. Raises InputError for what cannot be read."""
        ...

    def report(self) -> dict[str, Any]:
        """What was kept, dropped and left out, for `sources.json`; complete when all pictures were drawn."""
        ...


def file_name(stem: str, ending: str, digest: str) -> str:
    """The stem with an ending; one that would be too long for a file system is cut, and its digest tells it apart."""
    room = _LONGEST_NAME - len(ending)
    stem = printable(stem)  # a name that is no UTF-8 is kept in an escaped form
    if len(stem.encode()) <= room:
        return f"{stem}{ending}"
    return f"{stem.encode()[: room - 9].decode(errors='ignore')}-{digest[:8]}{ending}"
