"""Frames → a data set: a folder with a manifest, split by clip.

<folder>/<split>/<class>/<frame>.jpg      what Ultralytics and torchvision read as they stand
<folder>/manifest.json                    every frame's digest, clip, class and split; written last
"""

from __future__ import annotations

import re
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import ValidationError

from pipelines.data.frames import Sampling, extract
from pipelines.data.sources import CLIP_ENDINGS, IMAGE_ENDINGS, check_name, files_by_class
from pipelines.job.jobfile import Data, Split
from registry.digests import canonical, sha256_bytes, sha256_file
from registry.errors import InputError, IntegrityError, NotFoundError
from registry.files import building, read_json, storing, write_json
from registry.records import Record
from serving.bundle.preprocess import decode

SplitName = Literal["train", "val", "test"]
SPLITS: tuple[SplitName, ...] = ("train", "val", "test")
MANIFEST = "manifest.json"
_LONGEST_NAME = 255
"""Bytes of a file's name, on every file system that is common."""

Progress = Callable[[str, int, int], None]
"""Called with what is being done, how much of it is done, and how much there is."""


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


class Manifest(Record):
    """What a data set is: its labels in the order of the network's outputs, and its frames."""

    labels: list[str]
    source: Literal["clips", "images"]
    split: Split
    frames: list[FrameRow]

    @property
    def digest(self) -> str:
        """The digest that stands for the data set in evidence."""
        return sha256_bytes(canonical(self.model_dump(mode="json")))


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
                raise IntegrityError(path, "is not the frame that the manifest names", "make the data set again")


@dataclass(frozen=True, slots=True)
class _Picture:
    """A frame that has yet to be written; `source` is what the user knows it by."""

    source: str
    name: str
    data: bytes
    clip: str
    clip_sha256: str
    label: str


def open_dataset(folder: Path) -> DataSet:
    """A data set that was completed: one without a manifest was not."""
    try:
        return DataSet(folder, Manifest.model_validate(read_json(folder / MANIFEST)))
    except FileNotFoundError as error:
        raise NotFoundError(folder, "does not hold a data set", "make one with `modelyard frames`") from error
    except (ValidationError, ValueError) as error:
        raise InputError(folder / MANIFEST, "is not a manifest", "make it again with `modelyard frames`") from error


def build_dataset(data: Data, folder: Path, progress: Progress, classes: int = 2) -> DataSet:
    """Clips or images → a data set in `folder`, of at least so many classes. An older one is replaced when it is whole."""
    _check_target(folder, data.images or data.clips)
    if data.images:
        groups = files_by_class(data.images, IMAGE_ENDINGS, "images", classes)
        pictures = _from_images(groups, data.group, progress)
    else:
        groups = files_by_class(data.clips, CLIP_ENDINGS, "clips", classes)
        pictures = _from_clips(groups, Sampling(data.fps, data.min_change), progress)
    splits = deal([(picture.clip, picture.label) for picture in pictures], data.split)
    with building(folder) as work:
        rows = [_write(work, picture, splits[picture.clip]) for picture in pictures]
        manifest = Manifest(labels=sorted(groups), source="images" if data.images else "clips", split=data.split, frames=rows)
        _check_splits(manifest, data.images or data.clips)
        write_json(work / MANIFEST, manifest.model_dump(mode="json"))
    return DataSet(folder, manifest)


def _check_target(folder: Path, source: Path) -> None:
    """A data set replaces an older data set and nothing else."""
    check_name(folder)
    here, there = folder.resolve(), source.resolve()
    if here == there or here in there.parents or there in here.parents:
        raise InputError(folder, f"and {source} lie within each other", "write the data set somewhere else")
    if folder.exists() and not (folder / MANIFEST).exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(folder, "exists already and is not a data set", "name a folder that is not there yet")


def deal(members: Sequence[tuple[str, str]], split: Split) -> dict[str, SplitName]:
    """Deal clips to splits. `members` are (clip, class) of each frame; a clip goes to one split, whole.

    Clips that hold the same classes are dealt together, so each class keeps its share in each split.
    The order within such a set comes from a hash of the clip's name and the seed, so adding a class or
    a clip elsewhere does not move the others.
    """
    classes: dict[str, set[str]] = defaultdict(set)
    for clip, label in members:
        classes[clip].add(label)
    strata: dict[tuple[str, ...], list[str]] = defaultdict(list)
    for clip, labels in classes.items():
        strata[tuple(sorted(labels))].append(clip)
    dealt: dict[str, SplitName] = {}
    for clips in strata.values():
        clips.sort(key=lambda clip: sha256_bytes(f"{split.seed} {clip}".encode()))
        test, val = (_share(len(clips), part) for part in (split.test, split.val))
        for position, clip in enumerate(clips):
            dealt[clip] = "test" if position < test else "val" if position < test + val else "train"
    return dealt


def _share(count: int, part: float) -> int:
    """How many of `count` clips a part takes: at least one where there are three to deal."""
    return max(round(count * part), 1 if count >= len(SPLITS) else 0)


def _from_clips(groups: Mapping[str, Sequence[Path]], sampling: Sampling, progress: Progress) -> list[_Picture]:
    """Every kept frame of every clip."""
    total, seen, pictures = sum(map(len, groups.values())), 0, list[_Picture]()
    for label, clips in groups.items():
        for clip in clips:
            digest = sha256_file(clip)
            name = f"{label}/{clip.name}"
            for frame in extract(clip, sampling):
                own, source = _file_name(clip.stem, f"-{frame.index:05d}.jpg", digest), f"frame {frame.index} of {clip}"
                pictures.append(_Picture(source, own, frame.jpeg(), name, digest, label))
            seen += 1
            progress("clips to frames", seen, total)
    return pictures


def _from_images(groups: Mapping[str, Sequence[Path]], group: str | None, progress: Progress) -> list[_Picture]:
    """Every image, under the group that its name tells, or a group of its own."""
    total, pictures = sum(map(len, groups.values())), list[_Picture]()
    pattern = _group_pattern(group)
    for label, files in groups.items():
        for file in files:
            data = file.read_bytes()
            own = sha256_bytes(data)
            clip = own[:16]
            if pattern:
                match = pattern.search(file.name)
                if not match or not match.group(1):
                    raise InputError(
                        file, f"its name does not match the group pattern '{group}'", "fix the pattern or the name"
                    )
                clip = match.group(1)
            name = _file_name(file.stem, f"-{own[:8]}{file.suffix.lower()}", own)
            pictures.append(_Picture(str(file), name, data, clip, own, label))
            progress("images", len(pictures), total)
    return pictures


def _file_name(stem: str, ending: str, digest: str) -> str:
    """The stem with an ending; one that would be too long for a file system is cut, and its digest tells it apart."""
    room = _LONGEST_NAME - len(ending)
    if len(stem.encode()) <= room:
        return f"{stem}{ending}"
    return f"{stem.encode()[: room - 9].decode(errors='ignore')}-{digest[:8]}{ending}"


def _group_pattern(group: str | None) -> re.Pattern[str] | None:
    """The compiled group pattern, which must have one group."""
    if group is None:
        return None
    try:
        pattern = re.compile(group)
    except re.error as error:
        raise InputError(
            f"group pattern '{group}'", f"is not a regular expression ({error})", r"for example '^(s\d+)_'"
        ) from error
    if pattern.groups < 1:
        raise InputError(f"group pattern '{group}'", "has no group in parentheses", r"for example '^(s\d+)_'")
    return pattern


def _write(work: Path, picture: _Picture, split: SplitName) -> FrameRow:
    """Write one frame and return its row."""
    with warnings.catch_warnings():  # Pillow warns of a huge picture before we refuse it
        warnings.simplefilter("ignore")
        image = decode(picture.data, picture.source)
    path = work / split / picture.label / picture.name
    with storing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.exists():
            raise InputError(picture.source, f"would be a second {picture.name}", "give the files different names")
        path.write_bytes(picture.data)
    return FrameRow(
        file=path.relative_to(work).as_posix(),
        sha256=sha256_bytes(picture.data),
        clip=picture.clip,
        clip_sha256=picture.clip_sha256,
        label=picture.label,
        split=split,
        width=image.width,
        height=image.height,
    )


def _check_splits(manifest: Manifest, source: Path) -> None:
    """Every class must be in every split, or training and evaluation would mean nothing."""
    have = {(row.split, row.label) for row in manifest.frames}
    for split in SPLITS:
        for label in manifest.labels:
            if (split, label) not in have:
                raise InputError(
                    source, f"class '{label}' has no clip left for '{split}'", "give each class at least three clips"
                )
