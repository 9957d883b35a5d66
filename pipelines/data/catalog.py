"""Which data sets are in a home, by the digest that evidence names them with.

    datasets/<model>/             the data set that `frames` made last for a model
    datasets/by-digest/<digest>/  every data set that something was trained on, whatever `frames` makes later
    datasets/by-digest/<digest>.json
                                  where it lay, and for which models somebody brought a version that knows it
    datasets/by-digest/<digest>.leaks.json
                                  what leaks across its splits, once it was looked for

Both names of a file are one file on disk (hard links), where the file system has them. A home of an older release has notes
only; its data sets are kept from their next use on, and before `frames` replaces one.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipelines.data.build import Dealing, open_source, write_dataset
from pipelines.data.dataset import MANIFEST, SOURCES, DataSet, Manifest, Progress, open_dataset
from pipelines.data.source import Source
from pipelines.job.jobfile import Data, Split
from registry.errors import DamagedFileError, InputError, MissingFileError, NotFoundError
from registry.files import building, read_json, write_json
from registry.lease import locked_folder


@dataclass(frozen=True, slots=True)
class DatasetCatalog:
    """The data sets below a home's `datasets` folder."""

    root: Path

    def folder_of(self, model: str) -> Path:
        """Where a model's data set lies unless a command names another folder."""
        return self.root / model

    def build(self, data: Data, folder: Path, progress: Progress, classes: int = 2) -> DataSet:
        """The next version of a data set in a folder, from clips or images. See `write`."""
        return self.write(open_source(data, classes), data.split, folder, progress)

    def write(self, source: Source, split: Split, folder: Path, progress: Progress, *, again: bool = False) -> DataSet:
        """The next version of a data set in a folder; the one that it replaces stays, under its digest.

        A clip that is in a version before keeps its split, unless all are dealt `again`.
        """
        before = self.history(folder)
        data = write_dataset(source, folder, Dealing(split, before, again), progress)
        return DataSet(data.folder, self.add(data).manifest, data.name)

    def history(self, folder: Path) -> list[Manifest]:
        """The data set in a folder and the versions before it, newest first, as far as they are here. Keeps the newest."""
        versions = list[Manifest]()
        with suppress(InputError):  # none there, or none that can be read
            newest = open_dataset(folder)
            self._keep(newest)
            versions.append(newest.manifest)
        while versions and (parent := versions[-1].parent):
            try:
                versions.append(open_dataset(self._folder(parent)).manifest)
            except InputError:
                break
        return versions

    def add(self, data: DataSet, registered: str = "") -> DataSet:
        """Keep a data set under its digest; the answer is the kept one, which no later `frames` touches.

        `registered`: the model for which a version that was trained elsewhere is about to be registered with it.
        """
        digest = data.manifest.digest
        with self._locked():
            owners = {*(self.owners(digest) or ()), *([registered] if registered else ())}
            write_json(self.note(digest), {"folder": str(data.folder.absolute()), "registered": sorted(owners)})
            self._keep(data)
        return DataSet(self._folder(digest), data.manifest, data.name)

    def find(self, digest: str, subject: object) -> DataSet:
        """The data set of that digest. Raises NotFoundError about the subject where it is no longer where it was."""
        lay = self._lay(digest)
        for folder in (self._folder(digest), lay):
            with suppress(InputError):
                data = open_dataset(folder)
                if data.manifest.digest == digest:
                    return DataSet(folder, data.manifest, lay.name)
        remedy = "make it again with `modelyard frames`, or train a new version"
        raise NotFoundError(subject, f"the data set it was trained on ({digest[:12]}) is not here any more", remedy)

    def kept(self) -> Iterable[Path]:
        """The folders of the data sets that are kept by digest."""
        return [path for path in self._by_digest.glob("[0-9a-f]*") if path.is_dir() and not path.is_symlink()]

    def owners(self, digest: str) -> list[str] | None:
        """For which models versions were registered with it; None where an older release noted it, or none did."""
        return self._noted(digest).get("registered")

    def remove(self, digest: str, is_free: Callable[[], bool], removal: Callable[[], None]) -> bool:
        """Remove a kept data set, and then its note, if it is free still while none can be added; whether it was."""
        with self._locked():
            if not is_free():
                return False
            removal()
            self.note(digest).unlink(missing_ok=True)
            self.leaks(digest).unlink(missing_ok=True)
            return True

    def note(self, digest: str) -> Path:
        """The file that says where a data set lay."""
        return self._by_digest / f"{digest}.json"

    def leaks(self, digest: str) -> Path:
        """The file that keeps what leaks across a data set's splits."""
        return self._by_digest / f"{digest}.leaks.json"

    def _lay(self, digest: str) -> Path:
        """Where a data set lay. Without a note that can be read, the kept copy is all there is; raises where that is not."""
        try:
            return Path(str(self._noted(digest).get("folder") or self.root / "none"))
        except DamagedFileError:
            if not (self._folder(digest) / MANIFEST).exists():
                raise
            return self._folder(digest)

    def _noted(self, digest: str) -> dict[str, Any]:
        """What is noted of a data set, nothing where there is no note. Raises DamagedFileError."""
        remedy = "remove it; `modelyard frames` and `modelyard train` write it again"
        try:
            match read_json(self.note(digest), remedy):
                case {**noted} if isinstance(noted.get("folder"), str):
                    return noted
        except MissingFileError:
            return {}
        raise DamagedFileError(self.note(digest), "is damaged: it does not say where the data set is", remedy)

    @property
    def _by_digest(self) -> Path:
        return self.root / "by-digest"

    def _folder(self, digest: str) -> Path:
        return self._by_digest / digest

    def _keep(self, data: DataSet) -> None:
        """The same files under the digest, unless they are there already."""
        target = self._folder(data.manifest.digest)
        if target.resolve() == data.folder.resolve() or (target / MANIFEST).exists():
            return
        with building(target) as work:
            extra = [SOURCES] if (data.folder / SOURCES).is_file() else []
            for name in (*(row.file for row in data.manifest.frames), *extra, MANIFEST):
                (work / name).parent.mkdir(parents=True, exist_ok=True)
                _link(data.folder / name, work / name)

    def _locked(self) -> AbstractContextManager[None]:
        self._by_digest.mkdir(parents=True, exist_ok=True)
        return locked_folder(self._by_digest)


def _link(source: Path, target: Path) -> None:
    try:
        target.hardlink_to(source)
    except OSError:  # another file system, or one without links
        shutil.copy2(source, target)
