"""What a person reads of a home's data sets: its versions, and how two of them differ."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from pipelines.data.catalog import DatasetCatalog, Version
from pipelines.data.dataset import SPLITS
from pipelines.data.difference import DataDiff, Setting, compare
from pipelines.data.sentences import summary
from registry.errors import NotFoundError
from registry.events import Trained
from registry.protocols import Entry
from registry.records import Record


class VersionRow(Record):
    """One version of a model's data set. `current`: the next `frames` comes after it. `present`: its pictures are here."""

    name: str
    model: str
    version: int
    digest: str
    made: str
    made_from: str
    task: str
    clips: int
    frames: int
    labels: list[str]
    splits: dict[str, dict[str, int]]
    parent: str
    parent_digest: str
    trained: list[str]
    current: bool
    present: bool
    folder: str


def list_versions(catalog: DatasetCatalog, entries: Iterable[Entry], model: str | None = None) -> list[VersionRow]:
    """Every version, newest first. Raises NotFoundError for a model that has none."""
    versions = catalog.versions(model)
    if model is not None and not versions:
        raise NotFoundError(
            f"model '{model}'", "has no data set here", "see `modelyard data list`, or make one with `modelyard frames`"
        )
    names = {version.digest: version.name for version in versions}
    heads = [catalog.lineage(catalog.folder_of(name), name).versions[:1] for name in {v.model for v in versions} - {""}]
    current = {(version.model, version.digest) for newest in heads for version in newest}
    trained = _trained(entries)
    return [_row(version, names, trained, current=(version.model, version.digest) in current) for version in versions]


def difference(catalog: DatasetCatalog, before: Version | str, after: Version | str) -> DataDiff:
    """How two versions differ, by what is known of them; the pictures need not be here. Raises NotFoundError."""
    old, new = (side if isinstance(side, Version) else catalog.describe(side) for side in (before, after))
    names = (old.name, new.name)
    if old.name == new.name:  # two homes' versions of one number, or one version under two names
        names = (_called(before), _called(after))
    return compare(old.manifest, new.manifest, names, _settings(old.settings, new.settings))


class Step(Record):
    """What came of a `frames` or an `import`: the version, the one before, and what is other."""

    name: str
    version: int
    parent: str
    made: bool
    """Whether there is a new version; the same clips, frames and splits are the version that was there."""
    changes: DataDiff | None
    text: str


def step(catalog: DatasetCatalog, before: Sequence[Version], digest: str, model: str) -> Step:
    """What is said when a version was written. `before`: the lineage as it was."""
    after = catalog.version(digest)
    if after is None:
        raise NotFoundError(f"data set {digest[:12]}", "was removed meanwhile", "make it again")
    after = replace(after, model=model)
    parent = catalog.version(after.manifest.parent) if after.manifest.parent else None
    parent = replace(parent, model=model) if parent and model in catalog.models_of(parent.digest) else parent
    name = after.name
    known = {"name": name, "version": after.manifest.version, "parent": parent.name if parent else ""}
    if before and before[0].digest == digest:
        return Step(**known, made=False, changes=None, text=f"data set {name}: nothing is other than it was; no new version")
    if parent is None:
        return Step(**known, made=True, changes=None, text=f"data set {name}, the first version")
    changes = difference(catalog, parent, after)
    return Step(**known, made=True, changes=changes, text=f"data set {name} (parent {parent.name}): {summary(changes)}")


def _called(side: Version | str) -> str:
    return side.name if isinstance(side, Version) else side


def _row(version: Version, names: Mapping[str, str], trained: Mapping[str, list[str]], *, current: bool) -> VersionRow:
    manifest = version.manifest
    rows = {split: [row for row in manifest.frames if row.split == split] for split in SPLITS}
    return VersionRow(
        name=version.name,
        model=version.model,
        version=manifest.version,
        digest=version.digest,
        made=version.made,
        made_from=f"{manifest.source} ({manifest.format})" if manifest.format else manifest.source,
        task=manifest.task,
        clips=len({row.clip for row in manifest.frames}),
        frames=len(manifest.frames),
        labels=manifest.labels,
        splits={split: {"clips": len({row.clip for row in mine}), "frames": len(mine)} for split, mine in rows.items()},
        parent=names.get(manifest.parent, manifest.parent[:12]),
        parent_digest=manifest.parent,
        trained=trained.get(version.digest, []),
        current=current,
        present=version.folder is not None,
        folder=str(version.folder or ""),
    )


def _trained(entries: Iterable[Entry]) -> dict[str, list[str]]:
    """Digest of a data set → the model versions that the ledger says were trained on it."""
    versions = defaultdict[str, list[str]](list)
    for entry in entries:
        if isinstance(entry.event, Trained) and entry.event.label not in versions[entry.event.dataset]:
            versions[entry.event.dataset].append(entry.event.label)
    return versions


def _settings(before: Mapping[str, str], after: Mapping[str, str]) -> list[Setting]:
    """How frames were taken; only what both sides know is compared."""
    return [
        Setting(name=name, before=before[name], after=value)
        for name, value in after.items()
        if name in before and before[name] != value
    ]
