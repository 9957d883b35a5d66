"""A home's data sets as versions: each model's form one line in which numbers go up, and none is ever changed.

`frames` writes the next version: its parent is the model's newest one, wherever that lies, so clips keep their splits also
when the data set goes to another folder. Two processes that write a version of one model do so one after the other.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Generator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from pathlib import Path

from pipelines.data.build import Dealing, Keeping, open_source, write_dataset
from pipelines.data.dataset import MANIFEST, DataSet, Progress, open_dataset
from pipelines.data.kept import KeptDatasets, Origin, restore
from pipelines.data.labels.overrides import reviewed
from pipelines.data.lineage import Lineage, Version, folder_named, newest_first, only_version, slimmed, warning_of
from pipelines.data.source import Source
from pipelines.job.jobfile import Data, Split
from registry.errors import BusyError, DamagedFileError, InputError, NotFoundError
from registry.files import storing
from registry.lease import locked_folder

_NUMBERED = re.compile(r"(?P<model>[^/\\]+)@(?P<version>\d+)$")
_DIGEST = re.compile(r"[0-9a-f]{6,64}$")
_BUSY = BusyError("data set", "another process writes it now", "try again when it has finished")


class DatasetCatalog(KeptDatasets):
    """The data sets below a home's `datasets` folder."""

    def build(
        self,
        data: Data,
        folder: Path,
        progress: Progress,
        source: Source | None = None,
        *,
        model: str = "",
        again: bool = False,
    ) -> DataSet:
        """The next version of a model's data set in a folder. `source`: of clips or images that were opened already."""
        settings = (
            {"group": data.group or ""} if data.images else {"fps": f"{data.fps:g}", "min_change": f"{data.min_change:g}"}
        )
        origin = Origin(model or self.model_at(folder), settings)
        return self._write(source or open_source(data), folder, data.split, progress, origin, again=again)

    def write(
        self, source: Source, split: Split, folder: Path, progress: Progress, *, again: bool = False, model: str = ""
    ) -> DataSet:
        """The next version of a model's data set in a folder; the one that it replaces stays, under its digest.

        A clip that is in a version before keeps its split, unless all are dealt `again`. Without a `model` it is the one
        whose folder it is; a folder elsewhere is then a line of its own.
        """
        return self._write(source, folder, split, progress, Origin(model or self.model_at(folder)), again=again)

    def lineage(self, folder: Path, model: str = "") -> Lineage:
        """The versions that the next one in a folder comes after, as far as they are here.

        The newest has all its frames; of the others only what says where a clip was that no later version has.
        """
        model = model or self.model_at(folder)
        line = self.versions(model, slim=True) if model else self._versions_at(folder)
        here, aside = self._version_in(folder), list[Version]()
        if here and (not line or self.model_at(folder) == model or here.digest in {version.digest for version in line}):
            line = [here, *(version for version in line if version.digest != here.digest)]
        elif here:  # of another model or another home: what it says of clips counts last
            aside = [here]
        newest = max(line, key=lambda version: version.manifest.version, default=None)
        if newest and (here is None or newest.digest != here.digest):
            newest = replace(self.version(newest.digest) or newest, model=newest.model)
        chain = self._chain(newest, line)
        known = {version.digest for version in chain}
        others = [version for version in (*line, *aside) if version.digest not in known]
        return Lineage([*chain, *others], warning_of(folder, newest))

    def versions(self, model: str | None = None, *, slim: bool = False) -> list[Version]:
        """A model's versions, or those of all, the newest first. `slim`: without what a newer one says already of a clip."""
        versions, seen = list[Version](), set[tuple[str, str]]()
        for digest in sorted(self.digests(), key=self._noted_number, reverse=True):
            with suppress(DamagedFileError):
                owners = self.models_of(digest)
                wanted = (owners or [""]) if model is None else [owner for owner in owners if owner == model]
                version = self.version(digest) if wanted else None
                version = slimmed(version, seen) if version and slim else version
                versions += [replace(version, model=owner) for owner in wanted] if version else []
        known = {(version.model, version.digest) for version in versions}
        for path in sorted(self.root.glob(f"*/{MANIFEST}")):  # that an older release made and nothing was trained on
            here = self._version_in(path.parent) if model in {None, path.parent.name} else None
            if here and (here.model, here.digest) not in known:
                versions.append(here)
        return newest_first(versions)

    def resolve(self, reference: str | Path) -> DataSet:
        """The data set that a folder, MODEL@NUMBER, a digest's beginning or a model names, with its pictures."""
        folder = self._folder_named(str(reference))
        missing = self._missing_from(folder) if folder is not None else None
        if folder is not None and missing is None:
            return open_dataset(folder)
        version = missing or self.describe(reference)
        if version.folder is None:
            remedy = "choose another version with `modelyard data list`, or make it again with `modelyard frames`"
            raise NotFoundError(version.name, "its pictures were removed, only its manifest is kept", remedy)
        return self.find(version.digest, version.name)

    def models(self) -> list[str]:
        """The models of which there are versions here."""
        noted = {model for digest in self.digests() for model in self.models_of(digest)}
        return sorted(noted | {path.parent.name for path in self.root.glob(f"*/{MANIFEST}")})

    def newest(self, reference: str | Path) -> tuple[Path, str]:
        """The folder that the next version goes to, and its model, after a folder or the newest version of a model.

        Raises InputError for an older version: what comes after it is there already.
        """
        if (folder := self._folder_named(str(reference))) is not None:
            return folder, self.model_at(folder)
        version = self.describe(reference)
        line = self.lineage(self.folder_of(version.model), version.model).versions if version.model else []
        head = next(iter(line), version)
        if head.digest != version.digest:
            raise InputError(version.name, f"is not the newest version, which is {head.name}", f"give --data {head.name}")
        lay = self.lay(version.digest)
        if lay != self.folder_of(version.model).absolute() and not self.holds(lay, version.digest):
            raise InputError(version.name, f"lay in {lay} and is not there any more", "make it again with `modelyard frames`")
        return lay, version.model

    def describe(self, reference: str | Path) -> Version:
        """The same without its pictures. Raises NotFoundError, and InputError for what names several."""
        text = str(reference)
        if (folder := self._folder_named(text)) is not None:
            if missing := self._missing_from(folder):
                return missing
            data = open_dataset(folder)
            return self._version_in(folder) or Version("", data.manifest, data.manifest.digest, folder)
        if match := _NUMBERED.fullmatch(text):
            known = self.versions(match["model"])
            matching = [version for version in known if version.manifest.version == int(match["version"])]
            chain = self.lineage(self.folder_of(match["model"]), match["model"]).versions if len(matching) > 1 else []
            digests = {version.digest for version in matching}
            matching = [version for version in chain if version.digest in digests][:1] or matching
        elif _DIGEST.fullmatch(text) and not self.versions(text):
            known = self.versions()
            matching = [version for version in known if version.digest.startswith(text)]
        else:
            known = matching = self.lineage(self.folder_of(text), text).versions[:1] if "@" not in text else []
        return only_version(text, matching, known)

    def _folder_named(self, reference: str) -> Path | None:
        """The folder that a reference is. One that holds no data set and is called as a model of this home is the model."""
        folder = folder_named(reference)
        unsaid = folder is not None and len(folder.parts) == 1 and not (folder / MANIFEST).exists()
        return None if unsaid and self.versions(reference) else folder

    def _missing_from(self, folder: Path) -> Version | None:
        """The newest version of the model whose folder this is, where it was kept and never came to lie there.

        A version is kept before it lies in its folder, so a process that is killed between leaves it whole, but here only.
        """
        if not (model := self.model_at(folder)):
            return None
        number, lies_here = 0, False
        if (folder / MANIFEST).exists():
            here = self._version_in(folder)
            if here is None:
                return None  # damaged: opening it says so
            number, lies_here = here.manifest.version, True
        later = any(self._noted_number(digest) > number and model in self.models_of(digest) for digest in self.digests())
        newest = next(iter(self.lineage(folder, model).versions), None) if later else None
        elsewhere = newest and lies_here and self.lay(newest.digest) != folder.absolute()
        return None if elsewhere else newest

    def _write(self, source: Source, folder: Path, split: Split, progress: Progress, origin: Origin, *, again: bool) -> DataSet:
        with self._writing(progress):
            lineage = self.lineage(folder, origin.model)
            self._check_owner(folder, origin.model)
            self._keep_old(folder, origin.model, lineage)
            known = bool(lineage.versions) and (folder == self.folder_of(origin.model) or bool(self._versions_at(folder)))
            keeping = Keeping(
                self._stored(lineage), lambda data: self._keep_new(data, replace(origin, folder=folder), progress), known
            )
            before = [version.manifest for version in lineage.versions]
            last = next((version.folder for version in lineage.versions if version.folder), folder)
            return write_dataset(reviewed(source, last), folder, Dealing(split, before, again), progress, keeping)

    def _check_owner(self, folder: Path, model: str) -> None:
        """Refuse a folder in which the data set of another model lies: training that model would take this one for its own."""
        other = self.model_at(folder)
        here = self._version_in(folder) if model and other != model else None
        if here and other in (owners := self.models_of(here.digest)) and model not in owners:
            raise InputError(folder, f"is where the data set of model '{other}' lies", "name another folder with --out")

    def _keep_old(self, folder: Path, model: str, lineage: Lineage) -> None:
        """Keep what lies in a folder before it is replaced. A note of an older release stays as it is: `clean` goes by it."""
        old = self._version_in(folder)
        if old and self.note(old.digest).exists() and "models" not in self.sound_note(old.digest):
            self.keep(DataSet(folder, old.manifest))
        elif old:
            own = old.digest == lineage.versions[0].digest
            self.add(DataSet(folder, old.manifest), origin=Origin(model if own else ""))

    def _keep_new(self, data: DataSet, origin: Origin, progress: Progress) -> None:
        """Keep a version before it lies in its folder: a process that is killed between leaves no number to be given twice."""
        self.add(data, origin=origin, progress=progress)
        for row in data.manifest.frames:  # what was damaged where it is kept is whole again
            restore(data.folder / row.file, self.folder(data.manifest.digest) / row.file)

    def _stored(self, lineage: Lineage) -> Callable[[str], Path | None]:
        """Digest of a frame → where a version before has it."""
        files = dict[str, Path]()
        for version in reversed(lineage.versions):
            if version.folder:
                files |= {row.sha256: version.folder / row.file for row in version.manifest.frames}
        return files.get

    @contextmanager
    def _writing(self, progress: Progress) -> Generator[None]:
        """One process at a time writes a version in a home; the others wait. The lock leaves no file behind."""
        with storing(self.root):
            self.root.mkdir(parents=True, exist_ok=True)
        with ExitStack() as stack:
            try:
                stack.enter_context(locked_folder(self.root, _BUSY))
            except BusyError:
                progress("waiting for another process that writes a data set", 1, 1)
                stack.enter_context(locked_folder(self.root))
            yield

    def _version_in(self, folder: Path) -> Version | None:
        """What lies in a folder, if it can be read."""
        try:
            manifest = open_dataset(folder).manifest
        except InputError:
            return None
        with suppress(DamagedFileError):
            if version := self.version(manifest.digest):
                own = self.model_at(folder)
                return replace(version, folder=folder, model=own or version.model)
        return Version(self.model_at(folder), manifest, manifest.digest, folder)

    def version(self, digest: str) -> Version | None:
        """What is known of a data set; None where not even its manifest is here."""
        manifest = self.manifest(digest)
        if manifest is None:
            return None
        noted, kept = self.sound_note(digest), self.folder(digest)
        lay = None if (kept / MANIFEST).exists() else self.lay(digest)
        folder = lay if lay and self.holds(lay, digest) else None
        settings = {str(name): str(value) for name, value in (noted.get("settings") or {}).items()}
        model = next(iter(self.models_of(digest)), "")
        return Version(model, manifest, digest, folder if lay else kept, str(noted.get("made") or ""), settings)

    def _noted_number(self, digest: str) -> int:
        number = self.sound_note(digest).get("version")
        return number if isinstance(number, int) else 1

    def _versions_at(self, folder: Path) -> list[Version]:
        """Those that are noted to have lain in a folder, the newest first."""
        versions = list[Version]()
        for digest in self.digests():
            with suppress(DamagedFileError):
                if self.lay(digest) == folder.absolute() and (version := self.version(digest)):
                    versions.append(version)
        return newest_first(versions)

    def _chain(self, newest: Version | None, line: Sequence[Version]) -> list[Version]:
        """A version and those before it by their parents' digests, as far as they are here."""
        chain, known = list[Version](), {version.digest: version for version in line}
        while newest and newest.digest not in {version.digest for version in chain}:
            chain.append(newest)
            parent = newest.manifest.parent
            newest = known.get(parent) or (self.version(parent) if parent else None)
        return chain
