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
from pathlib import Path

from pipelines.job.exports import settled
from registry.errors import ModelyardError
from registry.events import CanaryStarted, Deployed, Exported
from registry.files import storing
from registry.promotion.context import PromotionContext
from registry.protocols import Entry
from registry.records import ModelVersion
from serving.bundle.bundle import Bundle, open_bundle
from serving.bundle.variants import VariantSpec

_SHOWN = 12


def find_valid(
    context: PromotionContext, version: ModelVersion, digest: str, wanted: Sequence[VariantSpec] = ()
) -> Exported | None:
    """The last export of these bytes whose bundle is still there, unchanged, and in which each variant was judged so."""
    for event in reversed(_exports(context.ledger.entries(version.model))):
        if (*event.identity, event.digest) == (*version.identity, digest):
            return event if _stands(event, wanted) else None
    return None


def find_identical(
    context: PromotionContext, version: ModelVersion, digest: str, wanted: Sequence[VariantSpec]
) -> Exported | None:
    """The same of another version of the same model that has the same bytes."""
    for event in reversed(_exports(context.ledger.entries(version.model))):
        if event.digest == digest and event.identity != version.identity and _stands(event, wanted):
            return event
    return None


def open_exported(event: Exported) -> Bundle:
    """An export's bundle, checked byte by byte and against the digest in the ledger."""
    bundle = open_bundle(Path(event.path))
    if bundle.index.digest != event.bundle:
        raise ModelyardError(event.path, "is not the bundle that was measured", "export the version again")
    return bundle


def smoke_folder(bundle: Path) -> Path:
    """Where held-out images and the trained model's answers lie, beside a bundle and not in it."""
    return bundle.with_name(f"{bundle.name}.smoke")


@contextmanager
def workbench(shelf: Path, version: int) -> Generator[Path]:
    """Yield a folder on the shelf to make a bundle in; what is left in it is removed.

    What killed exports left goes first: whoever exports holds the model's lease, so nobody else works there.
    """
    with storing(shelf):
        shelf.mkdir(parents=True, exist_ok=True)
        for left in shelf.glob(".*"):
            shutil.rmtree(left, ignore_errors=True)
        bench = Path(tempfile.mkdtemp(prefix=f".{version}.", dir=shelf))
        try:
            yield bench
        finally:
            shutil.rmtree(bench, ignore_errors=True)


def put(made: Path, version: int) -> Bundle:
    """Put a bundle that was made on a workbench in its place, with what lies beside it; one that is there already stays."""
    bundle = open_bundle(made)
    place = made.parent.parent / f"{version}-{bundle.index.digest[:_SHOWN]}"
    with storing(place):
        _move(smoke_folder(made), smoke_folder(place))
        if not _is_whole(place, bundle.index.digest):
            _move(made, place)
    return Bundle(place, bundle.index)


def link_tree(source: Path, target: Path, *without: str) -> None:
    """The same files in another folder, without taking their room again where the disk allows that.

    Nothing here writes into a file that is there: each is replaced as a whole.
    """
    shutil.copytree(source, target, dirs_exist_ok=True, copy_function=_link, ignore=shutil.ignore_patterns(*without))


def clear(shelf: Path, version: int, entries: Sequence[Entry], used: Sequence[str] = ()) -> None:
    """Remove a version's bundles that no row of the ledger counts on any more: neither as its last export nor as deployed.

    `used` are folders that are served without a row. Folders are told by their names, so a home may move.
    """
    kept = _counted_on(entries) | {Path(one).name for one in used}
    ours = re.compile(rf"{version}-[0-9a-f]+(\.smoke)?")
    for place in list(shelf.iterdir()) if shelf.is_dir() else ():
        if ours.fullmatch(place.name) and place.name.removesuffix(".smoke") not in kept:
            shutil.rmtree(place, ignore_errors=True)


def _counted_on(entries: Sequence[Entry]) -> set[str]:
    """The names of the folders of each version's last export, and of whatever was deployed."""
    exports = _exports(entries)
    deployed = {one.event.bundle for one in entries if isinstance(one.event, (Deployed, CanaryStarted))}
    last = {(*event.identity, event.digest): event.path for event in exports}
    served = {event.path for event in exports if event.bundle in deployed}
    return {Path(path).name for path in {*last.values(), *served}}


def _exports(entries: Sequence[Entry]) -> list[Exported]:
    return [one.event for one in entries if isinstance(one.event, Exported) and one.flaw is None]


def _stands(event: Exported, wanted: Sequence[VariantSpec]) -> bool:
    if not settled(event.parity, wanted):
        return False
    try:
        return smoke_folder(open_exported(event).folder).is_dir()
    except ModelyardError:
        return False


def _is_whole(place: Path, digest: str) -> bool:
    try:
        return open_bundle(place).index.digest == digest
    except ModelyardError:
        return False


def _move(source: Path, target: Path) -> None:
    shutil.rmtree(target, ignore_errors=True)
    source.rename(target)


def _link(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:  # another file system, or one without links
        shutil.copy2(source, target)
