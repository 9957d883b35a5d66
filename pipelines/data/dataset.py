"""A data set: a folder of pictures with a manifest, whole or not there.

<folder>/<split>/<class>/<frame>.jpg      a classifier's: what Ultralytics and torchvision read as they stand
<folder>/<split>/<frame>.jpg              a detector's: its boxes are in the manifest
<folder>/sources.json                     what became of each clip and file that it was made of
<folder>/manifest.json                    every frame's digest, clip, class and split; written last
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import ValidationError

from pipelines.job.jobfile import Split
from registry.digests import canonical, sha256_bytes, sha256_file
from registry.errors import InputError, IntegrityError, NotFoundError
from registry.files import read_json
from registry.records import Record

SplitName = Literal["train", "val", "test"]
SPLITS: tuple[SplitName, ...] = ("train", "val", "test")
MANIFEST = "manifest.json"
SOURCES = "sources.json"

Progress = Callable[[str, int, int], None]
"""Called with what is being done, how much of it is done, and how much there is."""


class Box(Record):
    """One object: its class and its sides as shares of the picture's width and height, from the top left."""

    label: str
    left: float
    top: float
    right: float
    bottom: float
    source: tuple[float, ...] = ()
    """The numbers as the annotation file has them."""


class FrameRow(Record):
    """One frame of a data set. `clip` names what must not be split: a clip, or a group of images."""

    file: str
    sha256: str
    clip: str
    clip_sha256: str
    label: str
    split: SplitName
    width: int
    height: int
    boxes: tuple[Box, ...] | None = None
    """A detector's; none of a classifier's, and empty where nothing is to be detected."""
    source: str = ""
    """What its user knows it by: a file's path below the folder that was read."""
    seconds: float | None = None
    """Its time in its clip."""
    captured: str = ""
    """When it was taken, ISO 8601, as far as the file tells."""

    @property
    def labels(self) -> tuple[str, ...]:
        """Its class, or those of its boxes."""
        return (self.label,) if self.boxes is None else tuple(sorted({box.label for box in self.boxes}))


class Manifest(Record):
    """What a data set is: its labels in the order of the network's outputs, and its frames."""

    labels: list[str]
    source: Literal["clips", "images"]
    split: Split
    frames: list[FrameRow]
    task: Literal["classify", "detect"] = "classify"
    format: str = ""
    """How the folder was laid out that it was imported from."""
    groups: Literal["known", "unknown"] = "known"
    """Whether anything says which pictures belong together; unknown: each is taken for a group of its own."""
    split_from: Literal["dealt", "source"] = "dealt"
    """source: the split was there already and was kept."""
    version: int = 1
    parent: str = ""
    """The digest of the version before."""

    def document(self) -> dict[str, Any]:
        """The manifest as it is written and hashed.

        Fields that came later are left out where they say nothing, so that a data set of an older release keeps its digest.
        """
        document = self.model_dump(mode="json")
        for name in _LATER:
            if document[name] == Manifest.model_fields[name].default:
                del document[name]
        for row in document["frames"]:
            for name in _LATER_OF_FRAMES:
                if row[name] == FrameRow.model_fields[name].default:
                    del row[name]
        return document

    @property
    def digest(self) -> str:
        """The digest that stands for the data set in evidence."""
        return sha256_bytes(canonical(self.document()))


_LATER = ("task", "format", "groups", "split_from", "version", "parent")
_LATER_OF_FRAMES = ("boxes", "source", "seconds", "captured")


@dataclass(frozen=True, slots=True)
class DataSet:
    """A data set on disk. `known_as` is what its users call it, where that is not its folder's name."""

    folder: Path
    manifest: Manifest
    known_as: str = ""

    @property
    def name(self) -> str:
        """What its users call it."""
        return self.known_as or self.folder.resolve().name

    def rows(self, split: str) -> list[FrameRow]:
        """The frames of a split, in the manifest's order."""
        return [row for row in self.manifest.frames if row.split == split]

    def held(self, split: str) -> list[FrameRow]:
        """The same of a split that must be there. Raises InputError with what brings it, or with the splits that there are."""
        if rows := self.rows(split):
            return rows
        if split not in SPLITS:
            there = ", ".join(name for name in SPLITS if self.rows(name))
            raise InputError(self.folder, f"has no '{split}' split", f"choose one of its own: {there}")
        remedy = f"add {split}/, or deal again with `modelyard import DIR --resplit`"
        raise InputError(self.folder, f"there is no {split} split", remedy)

    def files(self, rows: Iterable[FrameRow]) -> list[Path]:
        """Where frames lie."""
        return [self.folder / row.file for row in rows]

    def targets(self, rows: Iterable[FrameRow]) -> list[int]:
        """The class index of each frame."""
        index_of = {label: index for index, label in enumerate(self.manifest.labels)}
        return [index_of[row.label] for row in rows]

    def verify(self) -> None:
        """Raise IntegrityError naming the first frame whose bytes are not the manifest's."""
        for row in self.manifest.frames:
            path = self.folder / row.file
            if not path.is_file() or sha256_file(path) != row.sha256:
                version = f"data set version {self.manifest.version}, digest {self.manifest.digest[:12]}"
                problem = f"is not the frame that the manifest names ({version})"
                raise IntegrityError(path, problem, "make the data set again, or restore the file from a backup")


def open_dataset(folder: Path) -> DataSet:
    """A data set that was completed: one without a manifest was not."""
    return DataSet(folder, read_manifest(folder / MANIFEST))


def read_manifest(path: Path) -> Manifest:
    """A manifest. Raises NotFoundError where there is none, and InputError for one that cannot be read."""
    try:
        return Manifest.model_validate(read_json(path))
    except FileNotFoundError as error:
        raise NotFoundError(path.parent, "does not hold a data set", "make one with `modelyard frames`") from error
    except (ValidationError, ValueError) as error:
        raise InputError(path, "is not a manifest", "make it again with `modelyard frames`") from error
