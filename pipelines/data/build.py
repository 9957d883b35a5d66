"""From a source to a data set: dealt, written picture by picture, and put under its name when it is whole."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from pipelines.data.dataset import MANIFEST, SOURCES, SPLITS, DataSet, FrameRow, Manifest, Progress, SplitName
from pipelines.data.importing.open import open_clip_folder, open_pictures
from pipelines.data.lineage import unit_of
from pipelines.data.source import Picture, Source
from pipelines.data.sources import check_name
from pipelines.data.split import Assignments, assignments_of, deal
from pipelines.job.jobfile import Data, Split
from registry.digests import sha256_bytes
from registry.errors import InputError
from registry.files import building, set_aside, storing, write_json
from serving.bundle.preprocess import decode


@dataclass(frozen=True, slots=True)
class Dealing:
    """How members get their splits: by shares, after the versions before, the newest first. `again`: all are dealt anew."""

    split: Split
    before: Sequence[Manifest] = ()
    again: bool = False

    @property
    def kept(self) -> Assignments:
        """Where members are already."""
        return Assignments() if self.again else assignments_of(self.before)


@dataclass(frozen=True, slots=True)
class Keeping:
    """What a catalog does for a data set that is written.

    `stored`: digest → a file that may hold these bytes already, which a frame is then a further name of. `keep`: called with
    the data set when it is whole and before it lies in its folder. `known`: the folder is ours even without a manifest.
    """

    stored: Callable[[str], Path | None] = lambda _: None
    keep: Callable[[DataSet], None] = lambda _: None
    known: bool = False


NOTHING_KEPT = Keeping()


def open_source(data: Data, classes: int = 2, *, strict: bool = False) -> Source:
    """The clips or images that a job names, of at least so many classes. Raises InputError for what is no such folder.

    `strict`: a file that cannot be read, or only in part, is refused.
    """
    if data.images:
        return open_pictures(data.images, data.group, classes, strict=strict)
    return open_clip_folder(data, classes, strict=strict)


def build_dataset(data: Data, folder: Path, progress: Progress, classes: int = 2) -> DataSet:
    """Clips or images → a data set in `folder`, the first version. An older one is replaced when this is whole."""
    check_target(folder, data.images or data.clips)
    return write_dataset(open_source(data, classes), folder, Dealing(data.split), progress)


def write_dataset(
    source: Source, folder: Path, dealing: Dealing, progress: Progress, keeping: Keeping = NOTHING_KEPT
) -> DataSet:
    """A source → a data set in `folder`; one that is there is replaced when this is whole.

    It names the version before as its parent. Where nothing is other than there, it is that version.
    """
    check_target(folder, source.origin, known=keeping.known)
    members = source.members()
    declared = any(member.split for member in members) and not dealing.again
    splits = {} if declared else deal(members, dealing.split, dealing.kept)
    with building(folder) as work:
        rows = [
            _write(work, picture, picture.member.split or "train" if declared else splits[picture.member.clip], keeping)
            for picture in source.pictures(progress)
        ]
        manifest = Manifest(
            labels=list(source.labels),
            source=source.kind,
            split=dealing.split,
            frames=rows,
            task=source.task,
            format=source.format,
            groups=source.groups,
            split_from="source" if declared else "dealt",
        )
        if not declared:
            _check_splits(manifest, source.origin, stays=bool(dealing.before) and not dealing.again)
        manifest = _numbered(manifest, dealing.before)
        write_json(work / SOURCES, source.report())
        write_json(work / MANIFEST, manifest.document())
        keeping.keep(DataSet(work, manifest))
        if keeping.known and folder.exists() and not (folder / MANIFEST).exists():
            set_aside(folder)
    return DataSet(folder, manifest)


def check_target(folder: Path, source: Path, *, known: bool = False) -> None:
    """A data set replaces an older data set and nothing else; one that is known may lack its manifest. Raises InputError."""
    check_name(folder)
    here, there = folder.resolve(), source.resolve()
    within = there in here.parents and not any(part.startswith(".") for part in here.relative_to(there).parts)
    if here == there or here in there.parents or within:  # what is hidden in a folder is not read as a part of it
        raise InputError(folder, f"and {source} lie within each other", "write the data set somewhere else")
    if known and folder.is_dir():
        return
    if folder.exists() and not (folder / MANIFEST).exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(folder, "exists already and is not a data set", "name a folder that is not there yet")


def _numbered(manifest: Manifest, before: Sequence[Manifest]) -> Manifest:
    """The next version; the one before itself where nothing is other."""
    if not before:
        return manifest
    parent = before[0]
    number = {"version": parent.version, "parent": parent.parent}
    if manifest.model_copy(update=number) == parent:
        return parent
    return manifest.model_copy(update={"version": parent.version + 1, "parent": parent.digest})


def _write(work: Path, picture: Picture, split: SplitName, keeping: Keeping) -> FrameRow:
    """Write one frame and return its row."""
    width, height = picture.size or _size(picture)
    path, digest = work / split / picture.label / picture.name, sha256_bytes(picture.content)
    with storing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.exists():
            raise InputError(picture.source, f"would be a second {picture.name}", "give the files different names")
        stored = keeping.stored(digest)
        if stored is None or not _link_to(stored, path, picture.content):
            path.write_bytes(picture.content)
    return FrameRow(
        file=path.relative_to(work).as_posix(),
        sha256=digest,
        clip=picture.member.clip,
        clip_sha256=picture.member.digest,
        label=picture.label,
        split=split,
        width=width,
        height=height,
        boxes=picture.boxes,
        source=picture.file,
        seconds=picture.seconds,
        captured=picture.captured,
    )


def _link_to(stored: Path, path: Path, content: bytes) -> bool:
    """Make `path` a further name of a file if that has the content still, and the file system has such names."""
    try:
        if stored.read_bytes() != content:
            return False
        path.hardlink_to(stored)
    except OSError:
        return False
    return True


def _size(picture: Picture) -> tuple[int, int]:
    with warnings.catch_warnings():  # Pillow warns of a huge picture before we refuse it
        warnings.simplefilter("ignore")
        return decode(picture.content, picture.source).size


def _check_splits(manifest: Manifest, source: Path, *, stays: bool) -> None:
    """Every class must be in every split, or training and evaluation would mean nothing.

    `stays`: clips keep the splits that they have, so there can be clips enough and none of them in a split. Of a detector's
    classes some are in so few pictures that no dealing gives each split one: there each split has pictures, and the checks
    say which classes it lacks.
    """
    if manifest.task == "detect":
        absent = [split for split in SPLITS if all(row.split != split for row in manifest.frames)]
        if absent:
            raise InputError(source, f"has too few images for '{absent[0]}'", "give it at least three groups of images")
        return
    have = {(row.split, label) for row in manifest.frames for label in row.labels}
    for split, label in ((split, label) for split in SPLITS for label in manifest.labels):
        if (split, label) in have:
            continue
        clips = {row.clip for row in manifest.frames if label in row.labels}
        unit = unit_of(manifest)
        problem, remedy = f"class '{label}' has no {unit} left for '{split}'", f"give each class at least three {unit}s"
        if stays and len(clips) >= len(SPLITS):
            problem += f": its {len(clips)} keep the splits that they have"
            remedy = f"add one more, which goes to '{split}', or deal all of them again with --resplit"
        raise InputError(source, problem, remedy)
