"""Opening what a person has: a folder or an archive, of pictures in any known layout or of clips, as a source."""

from __future__ import annotations

import stat
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pipelines.data.dataset import Progress, SplitName
from pipelines.data.importing.archive import unpacked
from pipelines.data.importing.listing import LeftOut, list_folder
from pipelines.data.importing.look import Understood, look
from pipelines.data.importing.source import ImportSource, Reading
from pipelines.data.source import Member, Picture, Source
from pipelines.data.sources import check_name, check_number_of_classes, printable
from pipelines.job.jobfile import Data
from registry.errors import InputError, NotFoundError

if TYPE_CHECKING:
    from pipelines.data.clips import ClipSource


def open_pictures(folder: Path, group: str | None = None, classes: int = 2, *, strict: bool = False) -> ImportSource:
    """A folder of pictures in any known layout. Raises InputError for clips, and for what is no known layout."""
    check_name(folder)
    if not folder.is_dir():
        raise NotFoundError(
            folder, "there is no such folder of images", f"make {folder.name or 'DIR'}/<class>/*.jpg, or name another folder"
        )
    understood = look(folder, folder)
    if understood.clips:
        raise InputError(folder, "holds clips and not images", f"give --clips {folder}, or clips: in the job file")
    layout = understood.layout
    name = "" if layout.format == "class folders" else layout.format
    return ImportSource(folder, understood.listing, layout, Reading(group, strict, name, classes))


def open_clip_folder(data: Data, classes: int = 2, *, strict: bool = False) -> Source:
    """The folder of clips that a job names, in any layout that `import` reads. Raises InputError for what is no such folder."""
    from pipelines.data.clips import open_clips  # decoders of clips, which pictures do not need
    from pipelines.data.frames import Sampling

    folder = data.clips
    check_name(folder)
    if not folder.is_dir() or not list_folder(folder).clips:
        return open_clips(folder, Sampling(data.fps, data.min_change), classes, strict=strict)
    understood = look(folder, folder)
    if not understood.clips:
        raise InputError(folder, "holds images and not clips", f"give --images {folder}, or images: in the job file")
    return _source(folder, understood, data, strict=strict, classes=classes)


@contextmanager
def opened(path: Path, data: Data, *, strict: bool = False) -> Generator[Source]:
    """A folder or an archive as a source; what an archive holds lies in a temporary folder until the block ends."""
    check_name(path)
    try:
        mode = path.stat().st_mode
    except OSError as error:
        raise NotFoundError(path, f"cannot be opened ({error.strerror})", "name a folder, a .zip or a .tar.gz") from error
    if stat.S_ISDIR(mode):
        yield _source(path, look(path, path), data, strict=strict)
    elif stat.S_ISREG(mode):
        with unpacked(path) as (folder, left_out), _named_after(path, folder):
            if strict and left_out:
                raise InputError(f"{path}/{left_out[0].file}", left_out[0].why, "make the archive again, or leave out --strict")
            understood = look(folder, path)
            understood.layout.left_out += left_out
            yield _source(path, understood, data, strict=strict)
    else:
        raise InputError(path, "is neither a folder nor a file", "name a folder, a .zip or a .tar.gz")


@contextmanager
def _named_after(path: Path, folder: Path) -> Generator[None]:
    """Errors name an archive and not the temporary folder that it was unpacked into, which is gone when they are read."""
    try:
        yield
    except InputError as error:
        if str(folder) not in f"{error.subject} {error.expectation}":
            raise
        subject, expectation = (text.replace(str(folder), str(path)) for text in (error.subject, error.expectation))
        raise InputError(subject, expectation, error.remedy) from error


def _source(origin: Path, understood: Understood, data: Data, *, strict: bool, classes: int = 2) -> Source:
    layout = understood.layout
    if not understood.clips:
        return ImportSource(origin, understood.listing, layout, Reading(data.group, strict, layout.format))
    if strict and layout.left_out:
        raise InputError(f"{origin}/{layout.left_out[0].file}", layout.left_out[0].why, "move it away, or leave out --strict")
    check_number_of_classes(layout.labels, classes, origin)
    return _clips(origin, understood, data, strict=strict)


def _clips(origin: Path, understood: Understood, data: Data, *, strict: bool) -> ImportedClips:
    """Clips, of each split that is there a source."""
    from pipelines.data.clips import ClipSource  # decoders of clips, which pictures do not need
    from pipelines.data.frames import Sampling
    from pipelines.data.video.contents import container_of

    parts, inner = dict[SplitName | None, dict[str, list[Path]]](), dict[Path, str]()
    depth = 1 if understood.clips is None or understood.clips.split_at is None else 2
    for (split, label), files in (understood.clips.files if understood.clips else {}).items():
        check_name(Path(label))
        for file in files:
            check_name(file)
            container_of(understood.listing.root / file)
            if len(file.parts) > depth + 1:
                inner[understood.listing.root / file] = Path(*file.parts[depth:]).as_posix()
        parts.setdefault(split, {})[label] = [understood.listing.root / file for file in files]
    sampling = Sampling(data.fps, data.min_change)
    sources: dict[SplitName | None, ClipSource] = {
        split: ClipSource(origin, by_class, sampling, strict, inner=inner) for split, by_class in parts.items()
    }
    return ImportedClips(origin, sources, understood)


@dataclass(frozen=True)
class ImportedClips:
    """Clips by class, with the splits that their folders tell, if they do."""

    origin: Path
    sources: Mapping[SplitName | None, ClipSource]
    understood: Understood
    kind: Literal["clips"] = "clips"
    task: Literal["classify"] = "classify"
    groups: Literal["known"] = "known"

    @property
    def format(self) -> str:
        """Empty for what `frames` reads too."""
        return "" if None in self.sources else "split folders"

    @property
    def labels(self) -> Sequence[str]:
        """The folders' names."""
        return self.understood.layout.labels

    @property
    def left_out(self) -> list[LeftOut]:
        """What was not read, and why."""
        return self.understood.layout.left_out

    def members(self) -> Sequence[Member]:
        """Every clip."""
        return [_in_split(member, split) for split, source in self.sources.items() for member in source.members()]

    def pictures(self, progress: Progress) -> Iterator[Picture]:
        """Every kept frame of every clip."""
        for split, source in self.sources.items():
            for picture in source.pictures(progress):
                yield replace(picture, member=_in_split(picture.member, split))

    def report(self) -> dict[str, Any]:
        """What became of each clip, and of the files that are none."""
        report: dict[str, Any] = {}
        for split, source in self.sources.items():
            for key, value in source.report().items():
                named = [{**item, "clip": f"{split}/{item['clip']}"} if split and key == "clips" else item for item in value]
                report[key] = [*report.get(key, []), *named]
        layout = self.understood.layout
        left_out = [{"file": item.file, "why": item.why} for item in self.left_out]
        return {
            **report,
            "format": layout.format,
            "notes": self.notes(),
            "left_out": left_out,
            "ignored": self.understood.listing.ignored,
        }

    def notes(self) -> list[str]:
        """Sentences for the folder's owner."""
        absent = [name for name in ("val", "test") if None not in self.sources and name not in self.sources]
        lacks = [f"there is no {name} split; `--resplit` deals all clips to three" for name in absent]
        return [*self.understood.layout.notes, *lacks]


def _in_split(member: Member, split: SplitName | None) -> Member:
    """A clip that lies in a split's folder has that in its name: another split may have one that is called the same."""
    return replace(member, clip=f"{split}/{member.clip}", split=split) if split else member


def left_out_of(source: Source) -> list[LeftOut]:
    """What a source did not read."""
    return list(source.left_out) if isinstance(source, ImportSource | ImportedClips) else []


def notes_of(source: Source) -> list[str]:
    """What a source has to say of itself."""
    return source.notes() if isinstance(source, ImportSource | ImportedClips) else []


def model_name(path: Path) -> str:
    """A model's name out of a folder's: what cannot be in one becomes a dash."""
    import re

    stem = printable(Path(path.resolve().name))
    for ending in (".tar.gz", ".tgz", ".zip", ".tar"):
        stem = stem[: -len(ending)] if stem.lower().endswith(ending) else stem
    clean = re.sub(r"[^A-Za-z0-9_.-]+", "-", stem).strip("-._")
    return clean[:100] or "model"
