"""Decisions of a review that outlive the data set they were made about: whatever is built again is built with them.

They lie in the data set's `sources.json`, by the SHA-256 of each picture. A clip that is sampled at another rate gives other
pictures, which nobody has looked at: for those they do not count, and the report says how many did not.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from pydantic import ValidationError

from pipelines.data.dataset import MANIFEST, SOURCES, Box, Progress, open_dataset
from pipelines.data.source import Member, Picture, Source, file_name
from registry.digests import sha256_bytes
from registry.errors import DamagedFileError, InputError, MissingFileError
from registry.files import read_json
from registry.records import Record

KEY, UNMET = "review", "review_unmet"
"""Where they are in `sources.json`, and how many of them met no picture when it was built."""
_REMEDY = "remove it: the decisions of the review are lost with it, and are made again by `modelyard data apply-review`"


class Override(Record):
    """What was decided about a picture. `added`: it is of no clip or folder that the data set is made from."""

    label: str = ""
    boxes: tuple[Box, ...] | None = None
    drop: bool = False
    added: bool = False


def read_overrides(folder: Path) -> dict[str, Override]:
    """Picture's digest → what was decided about it, in this data set and those before it. Raises DamagedFileError."""
    path = folder / SOURCES
    try:
        document = read_json(path, _REMEDY)
    except MissingFileError:
        return {}
    try:
        return {digest: Override.model_validate(value) for digest, value in document.get(KEY, {}).items()}
    except (ValidationError, AttributeError) as error:
        raise DamagedFileError(path, "does not hold the decisions of a review", _REMEDY) from error


def overrides_document(overrides: Mapping[str, Override]) -> dict[str, Any]:
    """Overrides as they stand in `sources.json`."""
    return {KEY: {digest: item.model_dump(mode="json", exclude_defaults=True) for digest, item in overrides.items()}}


def relabelled_name(name: str, digest: str) -> str:
    """What a picture is called in another class's folder, where its name may be taken: its digest tells it apart."""
    path, own = Path(name), f"-{digest[:8]}"
    return name if path.stem.endswith(own) else file_name(path.stem, f"{own}{path.suffix}", digest)


@dataclass(frozen=True, slots=True)
class Addition:
    """A picture of a review that the source does not have: what it belongs to, where it lies, and what its user calls it."""

    member: Member
    path: Path
    source: str


@dataclass(frozen=True)
class ReviewedSource:
    """Another source, with what was decided about its pictures, and with those that reviews added."""

    inner: Source
    overrides: Mapping[str, Override]
    additions: Sequence[Addition] = ()
    _met: set[str] = field(default_factory=set[str])

    @property
    def origin(self) -> Path:
        """The source's folder."""
        return self.inner.origin

    @property
    def kind(self) -> Literal["clips", "images"]:
        """As the source says."""
        return self.inner.kind

    @property
    def task(self) -> Literal["classify", "detect"]:
        """As the source says."""
        return self.inner.task

    @property
    def labels(self) -> Sequence[str]:
        """As the source says."""
        return self.inner.labels

    @property
    def format(self) -> str:
        """As the source says."""
        return self.inner.format

    @property
    def groups(self) -> Literal["known", "unknown"]:
        """Nothing says what pictures that were added belong to."""
        return "unknown" if any(item.added for item in self.overrides.values()) else self.inner.groups

    def members(self) -> Sequence[Member]:
        """The source's members, images with their decided labels, and the pictures that were added."""
        members = [self._decided(member) for member in self.inner.members()]
        declared = any(member.split for member in members)
        added = (addition.member for addition in self.additions)
        return [*members, *(member if declared else replace(member, split=None) for member in added)]

    def pictures(self, progress: Progress) -> Iterator[Picture]:
        """Every picture that was not dropped. Equal pictures that became the same file are written once."""
        written = set[tuple[str, str, str]]()
        for picture in self._all(progress):
            digest = sha256_bytes(picture.content)
            override = self.overrides.get(digest)
            if override is None:
                yield picture
                continue
            self._met.add(digest)
            decided = self._with(picture, override, digest)
            key = (digest, decided.label, decided.name)
            if not override.drop and key not in written:
                written.add(key)
                yield decided

    def report(self) -> dict[str, Any]:
        """The source's report, every decision, and how many of the decided pictures were not met again."""
        unmet = len(set(self.overrides) - self._met)
        return {**self.inner.report(), **overrides_document(self.overrides), UNMET: unmet}

    def _all(self, progress: Progress) -> Iterator[Picture]:
        yield from self.inner.pictures(progress)
        for addition in self.additions:
            content = addition.path.read_bytes()
            yield Picture(addition.source, addition.path.name, content, addition.member, "", addition.source)

    def _with(self, picture: Picture, override: Override, digest: str) -> Picture:
        if override.boxes is not None:
            return replace(picture, boxes=override.boxes, label="")
        if not override.label or override.label == picture.label:
            return picture
        name = relabelled_name(picture.name, digest)
        return replace(picture, label=override.label, name=name)

    def _decided(self, member: Member) -> Member:
        """An image's bytes are known here already; of a clip they are not, and its pictures are dealt with it."""
        override = self.overrides.get(member.digest)
        if self.kind != "images" or override is None or not override.label:
            return member
        return replace(member, labels=frozenset({override.label}))


def reviewed(source: Source, folder: Path) -> Source:
    """The source as the reviews of the data set in a folder want it; the source itself where there was none."""
    if isinstance(source, ReviewedSource) or not (folder / MANIFEST).is_file():
        return source
    overrides = read_overrides(folder)
    return ReviewedSource(source, overrides, _kept_additions(folder, overrides)) if overrides else source


def _kept_additions(folder: Path, overrides: Mapping[str, Override]) -> list[Addition]:
    """Pictures that reviews added to the data set in a folder."""
    wanted = {digest for digest, item in overrides.items() if item.added and not item.drop}
    if not wanted:
        return []
    rows = {row.sha256: row for row in open_dataset(folder).manifest.frames if row.sha256 in wanted}
    if missing := wanted - rows.keys():
        raise InputError(folder, f"lacks {len(missing)} pictures that a review added", "restore it from a backup")
    return [
        Addition(Member(row.clip, row.clip_sha256, frozenset(row.labels), row.split), folder / row.file, row.source)
        for row in rows.values()
    ]
