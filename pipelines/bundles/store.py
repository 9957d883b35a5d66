"""Where exported bundles lie, and which of them still count.

    bundles/<model>/<version>-<bundle digest>/          a sealed bundle
    bundles/<model>/<version>-<bundle digest>.smoke/    held-out images and the trained model's answers
    bundles/<model>/.<version>.…/                       an export that is under way, or was killed

A bundle is named after its own bytes, so an older one stays whole until the ledger names the new one. Before bundles were
named so, they were named after the model's bytes; the ledger knows where each lies, and opens those too.
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pipelines.job.exports import settled
from registry.errors import ModelyardError
from registry.events import CanaryStarted, Deployed, Exported
from registry.files import replace_folder, storing
from registry.protocols import Entry, Ledger
from registry.records import ModelVersion
from serving.bundle.bundle import Bundle, open_bundle
from serving.bundle.variants import VariantSpec

_DIGITS = 12
"""Of a bundle's digest in its folder's name."""


@dataclass(frozen=True, slots=True)
class BundleStore:
    """The bundles of a home: what exists in folders, and what of it the ledger counts on."""

    root: Path
    ledger: Ledger

    def find_valid(self, version: ModelVersion, digest: str, specs: Sequence[VariantSpec] = ()) -> Exported | None:
        """The last export of these bytes whose bundle is there, unchanged, and in which each of the variants was judged so."""
        for event in reversed(_exports(self.ledger.entries(version.model))):
            if (*event.identity, event.digest) == (*version.identity, digest):
                return event if _is_valid(event, specs) else None
        return None

    def find_identical(self, version: ModelVersion, digest: str, specs: Sequence[VariantSpec]) -> Exported | None:
        """The same of another version of the same model that has the same bytes."""
        for event in reversed(_exports(self.ledger.entries(version.model))):
            if event.digest == digest and event.identity != version.identity and _is_valid(event, specs):
                return event
        return None

    @contextmanager
    def workbench(self, version: ModelVersion) -> Generator[Path]:
        """Yield a folder beside the model's bundles to make a bundle in; what is left in it is removed.

        What killed exports left goes first: whoever exports holds the model's lease, so nobody else works there.
        """
        folder = self.root / version.model
        with storing(folder):
            folder.mkdir(parents=True, exist_ok=True)
            for left in folder.glob(".*"):
                shutil.rmtree(left, ignore_errors=True)
            bench = Path(tempfile.mkdtemp(prefix=f".{version.version}.", dir=folder))
            try:
                yield bench
            finally:
                shutil.rmtree(bench, ignore_errors=True)

    def publish(self, made: Path, version: ModelVersion) -> Bundle:
        """Move a bundle from its workbench to its folder, with what lies beside it; one that is there already stays."""
        bundle = open_bundle(made)
        folder = self.root / version.model / f"{version.version}-{bundle.index.digest[:_DIGITS]}"
        with storing(folder):
            replace_folder(smoke_folder(made), smoke_folder(folder))
            if not _is_whole(folder, bundle.index.digest):
                replace_folder(made, folder)
        return Bundle(folder, bundle.index)

    def remove_unused(self, version: ModelVersion, used: Sequence[str] = ()) -> None:
        """Remove a version's bundles that no row of the ledger counts on: neither as its last export nor as deployed.

        `used` are folders that are served without a row. Folders are compared by their names, so a home may move.
        """
        folder = self.root / version.model
        kept = _counted_on(self.ledger.entries(version.model)) | {Path(path).name for path in used}
        ours = re.compile(rf"{version.version}-[0-9a-f]+(\.smoke)?")
        for path in list(folder.iterdir()) if folder.is_dir() else ():
            if ours.fullmatch(path.name) and path.name.removesuffix(".smoke") not in kept:
                shutil.rmtree(path, ignore_errors=True)


def open_exported(event: Exported) -> Bundle:
    """An export's bundle, checked byte by byte and against the digest in the ledger."""
    bundle = open_bundle(Path(event.path))
    if bundle.index.digest != event.bundle:
        raise ModelyardError(event.path, "is not the bundle that was measured", "export the version again")
    return bundle


def smoke_folder(bundle: Path) -> Path:
    """Where held-out images and the trained model's answers lie, beside a bundle and not in it."""
    return bundle.with_name(f"{bundle.name}.smoke")


def link_tree(source: Path, target: Path, *without: str) -> None:
    """The same files in another folder, without taking their room again where the disk allows that.

    Nothing here writes into a file that is there: each is replaced as a whole.
    """
    shutil.copytree(source, target, dirs_exist_ok=True, copy_function=_link, ignore=shutil.ignore_patterns(*without))


def _counted_on(entries: Sequence[Entry]) -> set[str]:
    """The names of the folders of each version's last export, and of whatever was deployed."""
    exports = _exports(entries)
    deployed = {row.event.bundle for row in entries if isinstance(row.event, (Deployed, CanaryStarted))}
    last = {(*event.identity, event.digest): event.path for event in exports}
    served = {event.path for event in exports if event.bundle in deployed}
    return {Path(path).name for path in {*last.values(), *served}}


def _exports(entries: Sequence[Entry]) -> list[Exported]:
    return [row.event for row in entries if isinstance(row.event, Exported) and row.flaw is None]


def _is_valid(event: Exported, specs: Sequence[VariantSpec]) -> bool:
    if not settled(event.parity, specs):
        return False
    try:
        return smoke_folder(open_exported(event).folder).is_dir()
    except ModelyardError:
        return False


def _is_whole(folder: Path, digest: str) -> bool:
    try:
        return open_bundle(folder).index.digest == digest
    except ModelyardError:
        return False


def _link(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:  # another file system, or one without links
        shutil.copy2(source, target)
