"""Which data sets are in a home, by the digest that evidence names them with.

    datasets/<model>/             the data set that `frames` made last for a model
    datasets/by-digest/<digest>/  every data set that was made or trained on, whatever `frames` makes later
    datasets/by-digest/<digest>.json
                                  where it lay, whose version it is, and for which models somebody brought a version that
                                  knows it
    datasets/by-digest/<digest>.manifest.json
                                  what is left of one whose pictures were cleaned away

All names of a file are one file on disk (hard links), where the file system has them: also the frames that two versions have in
common. A home of an older release has notes only; its data sets are kept from their next use on, and before `frames` replaces
one.
"""

from __future__ import annotations

import filecmp
import shutil
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pipelines.data.dataset import MANIFEST, SOURCES, DataSet, Manifest, Progress, open_dataset, read_manifest
from registry.errors import DamagedFileError, InputError, MissingFileError, NotFoundError
from registry.files import building, read_json, write_json
from registry.lease import locked_folder

_READ_ONLY = 0o444
"""A program that wrote into a frame would change every version that has it, for they are one file."""
_MANY = 5_000
"""Frames from which on keeping a version takes long enough for its progress to be shown."""


@dataclass(frozen=True, slots=True)
class Origin:
    """What is noted of a data set when it is made: whose version it is, how its frames were taken, and where it will lie."""

    model: str = ""
    settings: dict[str, str] = field(default_factory=dict[str, str])
    folder: Path | None = None


NO_ORIGIN = Origin()


@dataclass(frozen=True, slots=True)
class KeptDatasets:
    """The data sets below a home's `datasets` folder, by their digests."""

    root: Path

    def folder_of(self, model: str) -> Path:
        """Where a model's data set lies unless a command names another folder."""
        return self.root / model

    def model_at(self, folder: Path) -> str:
        """The model whose data set lies in a folder, where the folder is below this one."""
        below = folder.absolute().parent.resolve() == self.root.resolve() and folder.name != self.by_digest.name
        return folder.name if below else ""

    def add(self, data: DataSet, registered: str = "", origin: Origin = NO_ORIGIN, progress: Progress | None = None) -> DataSet:
        """Keep a data set under its digest; the answer is the kept one, which no later `frames` touches.

        `registered`: the model for which a version that was trained elsewhere is about to be registered with it.
        """
        digest = data.manifest.digest
        with self._locked():
            noted = self.sound_note(digest)
            owners = {*(noted.get("registered") or ()), *([registered] if registered else ())}
            lay = self._lies_at(data, noted, origin)
            fields: dict[str, Any] = {"folder": str(lay), "registered": sorted(owners)}
            made = datetime.fromtimestamp((data.folder / MANIFEST).stat().st_mtime, UTC).isoformat(timespec="seconds")
            models = {*(noted.get("models") or ()), origin.model or self.model_at(lay)} - {""}
            known = {"made": made, "settings": origin.settings, "version": data.manifest.version}
            fields |= {name: noted.get(name) or value for name, value in known.items() if noted.get(name) or value}
            fields |= {"models": sorted(models)} if models else {}
            self.keep(data, progress)
            write_json(self.note(digest), fields)
        return DataSet(self.folder(digest), data.manifest, data.name)

    def find(self, digest: str, subject: object) -> DataSet:
        """The data set of that digest. Raises NotFoundError about the subject where it is no longer where it was."""
        lay = self.lay(digest)
        for folder in (self.folder(digest), lay):
            with suppress(InputError):
                data = open_dataset(folder)
                if data.manifest.digest == digest:
                    return DataSet(folder, data.manifest, lay.name)
        remedy = "make it again with `modelyard frames`, or train a new version"
        raise NotFoundError(subject, f"the data set it was trained on ({digest[:12]}) is not here any more", remedy)

    def manifest(self, digest: str) -> Manifest | None:
        """What a data set is, also of one whose pictures are gone; None where that is not known here any more."""
        with suppress(DamagedFileError):
            for path in (self.folder(digest) / MANIFEST, self._remainder(digest), self.lay(digest) / MANIFEST):
                with suppress(InputError):
                    manifest = read_manifest(path)
                    if manifest.digest == digest:
                        return manifest
        return None

    def holds(self, folder: Path, digest: str) -> bool:
        """Whether a folder has the data set of that digest."""
        with suppress(InputError):
            return open_dataset(folder).manifest.digest == digest
        return False

    def kept(self) -> Iterable[Path]:
        """The folders of the data sets that are kept by digest."""
        return [path for path in self.by_digest.glob("[0-9a-f]*") if path.is_dir() and not path.is_symlink()]

    def digests(self) -> list[str]:
        """Every data set that is kept or noted."""
        notes = {path.name.split(".")[0] for path in self.by_digest.glob("[0-9a-f]*.json")}
        return sorted(notes | {path.name for path in self.kept()})

    def owners(self, digest: str) -> list[str] | None:
        """For which models versions were registered with it; None where an older release noted it, or none did."""
        return self.noted(digest).get("registered")

    def remove(self, digest: str, is_free: Callable[[], bool], removal: Callable[[], None]) -> bool:
        """Remove the pictures of a kept data set, if it is free still while none can be added; whether it was.

        Its note goes with them, unless it is a version of a model's data set: then its manifest stays too, so that its clips
        keep their splits and `data diff` can compare with it.
        """
        with self._locked():
            if not is_free():
                return False
            with suppress(InputError):
                if self.models_of(digest):
                    manifest = open_dataset(self.folder(digest)).manifest
                    write_json(self._remainder(digest), manifest.document())
            removal()
            self.leaks(digest).unlink(missing_ok=True)
            if not self._remainder(digest).exists():
                self.note(digest).unlink(missing_ok=True)
            return True

    def note(self, digest: str) -> Path:
        """The file that says where a data set lay."""
        return self.by_digest / f"{digest}.json"

    def leaks(self, digest: str) -> Path:
        """The file that keeps what leaks across a data set's splits, once it was looked for."""
        return self.by_digest / f"{digest}.leaks"

    def models_of(self, digest: str) -> list[str]:
        """Whose version a data set is, as far as is noted: two models can be made from the same clips."""
        noted = self.sound_note(digest)
        lay = self.model_at(Path(noted["folder"])) if noted else ""
        return list(noted.get("models") or ([lay] if lay else []))

    def name_of(self, digest: str) -> str:
        """MODEL@VERSION, or the digest's beginning where it is not known whose version it is."""
        manifest = self.manifest(digest)
        if manifest and (models := self.models_of(digest)):
            return f"{models[0]}@{manifest.version}"
        return digest[:12]

    def lay(self, digest: str) -> Path:
        """Where a data set lay. Without a note that can be read, the kept copy is all there is; raises where that is not."""
        try:
            return Path(str(self.noted(digest).get("folder") or self.root / "none"))
        except DamagedFileError:
            if not (self.folder(digest) / MANIFEST).exists():
                raise
            return self.folder(digest)

    def noted(self, digest: str) -> dict[str, Any]:
        """What is noted of a data set, nothing where there is no note. Raises DamagedFileError."""
        remedy = "remove it; `modelyard frames` and `modelyard train` write it again"
        try:
            match read_json(self.note(digest), remedy):
                case {**noted} if isinstance(noted.get("folder"), str):
                    return noted
        except MissingFileError:
            return {}
        raise DamagedFileError(self.note(digest), "is damaged: it does not say where the data set is", remedy)

    def sound_note(self, digest: str) -> dict[str, Any]:
        """What is noted, nothing also where the note is damaged: the data set itself says the most of it."""
        with suppress(DamagedFileError):
            return self.noted(digest)
        return {}

    @property
    def by_digest(self) -> Path:
        """The folder of what is kept."""
        return self.root / "by-digest"

    def folder(self, digest: str) -> Path:
        """Where a data set is kept."""
        return self.by_digest / digest

    def keep(self, data: DataSet, progress: Progress | None = None) -> None:
        """The same files under the digest, unless they are there already."""
        target = self.folder(data.manifest.digest)
        if target.resolve() == data.folder.resolve() or (target / MANIFEST).exists():
            return
        with building(target) as work:
            extra = [SOURCES] if (data.folder / SOURCES).is_file() else []
            names, frames = (*(row.file for row in data.manifest.frames), *extra, MANIFEST), len(data.manifest.frames)
            for count, name in enumerate(names, 1):
                (work / name).parent.mkdir(parents=True, exist_ok=True)
                link(data.folder / name, work / name)
                if progress and frames >= _MANY and (count % (_MANY // 10) == 0 or count == frames):
                    progress("keeping the version", min(count, frames), frames)
            for row in data.manifest.frames:
                (work / row.file).chmod(_READ_ONLY)
        self._remainder(data.manifest.digest).unlink(missing_ok=True)

    def _lies_at(self, data: DataSet, noted: Mapping[str, Any], origin: Origin) -> Path:
        """Where a data set is to be noted: where it was noted before, as long as it is there or this is the kept one."""
        folder = (origin.folder or data.folder).absolute()
        before = Path(noted["folder"]) if noted else folder
        kept_here = folder.resolve() == self.folder(data.manifest.digest).resolve()
        stays = before != folder and (kept_here or self.holds(before, data.manifest.digest))
        return before if stays else folder

    def _remainder(self, digest: str) -> Path:
        return self.by_digest / f"{digest}.manifest.json"

    def _locked(self) -> AbstractContextManager[None]:
        self.by_digest.mkdir(parents=True, exist_ok=True)
        return locked_folder(self.by_digest)


def link(source: Path, target: Path) -> None:
    """A further name of a file, or a copy where that cannot be."""
    try:
        target.hardlink_to(source)
    except OSError:  # another file system, or one without links
        shutil.copy2(source, target)


def restore(source: Path, target: Path) -> None:
    """Put a file back where another name of it has other bytes, or is gone."""
    with suppress(FileNotFoundError):
        if target.samefile(source) or filecmp.cmp(source, target, shallow=False):
            return
    beside = target.with_name(f".{target.name}"[:200])
    beside.unlink(missing_ok=True)
    beside.parent.mkdir(parents=True, exist_ok=True)
    link(source, beside)
    beside.replace(target)
