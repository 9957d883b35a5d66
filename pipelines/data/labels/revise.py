"""The next version of a data set, as a review wants it: pictures relabelled, dropped and added; the rest as it was."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pipelines.data.catalog import DatasetCatalog
from pipelines.data.dataset import SOURCES, Box, DataSet, FrameRow, Manifest, Progress
from pipelines.data.labels.overrides import Addition, Override, ReviewedSource, read_overrides
from pipelines.data.source import Member, Picture
from pipelines.data.split import assignments_of, deal
from registry.errors import BusyError, InputError, MissingFileError
from registry.files import read_json
from registry.lease import locked_folder
from registry.reports.reviews import Candidate, Decision, Review


@dataclass(frozen=True, slots=True)
class Revision:
    """The version that a review made, and how many decisions of each kind it took up: relabelled, dropped, added, boxes."""

    data: DataSet
    counts: Mapping[str, int]


@dataclass(frozen=True)
class DataSetSource:
    """A data set as a source: what it was made of is not needed. `origin` is where the review lies."""

    data: DataSet
    origin: Path

    @property
    def kind(self) -> Literal["clips", "images"]:
        """What it was made from."""
        return self.data.manifest.source

    @property
    def task(self) -> Literal["classify", "detect"]:
        """What its labels are for."""
        return self.data.manifest.task

    @property
    def labels(self) -> Sequence[str]:
        """Its classes, also those whose pictures all went elsewhere."""
        return self.data.manifest.labels

    @property
    def format(self) -> str:
        """How it was laid out, where it was imported."""
        return self.data.manifest.format

    @property
    def groups(self) -> Literal["known", "unknown"]:
        """Whether anything says which pictures belong together."""
        return self.data.manifest.groups

    def members(self) -> Sequence[Member]:
        """One a picture; a split that was given with the pictures stays given."""
        return [self._member(row) for row in self.data.manifest.frames]

    def pictures(self, progress: Progress) -> Iterator[Picture]:
        """Every picture, in the manifest's order. Raises InputError for one whose file is not there."""
        for count, row in enumerate(self.data.manifest.frames, 1):
            path = self.data.folder / row.file
            yield Picture(
                source=str(path),
                name=path.name,
                content=path.read_bytes(),
                member=self._member(row),
                label=row.label,
                file=row.source,
                boxes=row.boxes,
                seconds=row.seconds,
                captured=row.captured,
            )
            progress("pictures", count, len(self.data.manifest.frames))

    def report(self) -> dict[str, Any]:
        """What was reported when it was made."""
        try:
            return dict(read_json(self.data.folder / SOURCES))
        except MissingFileError:
            return {}

    def _member(self, row: FrameRow) -> Member:
        declared = self.data.manifest.split_from == "source"
        return Member(row.clip, row.clip_sha256, frozenset(row.labels), row.split if declared else None)


def apply_review(folder: Path, home: Path, progress: Progress, model: str = "") -> Revision:
    """Make the next version of the data set in a folder of what was decided about it; its splits stay.

    `model`: whose version it is, where the folder does not say so.

    Where nothing was decided it stays the version that it is. Raises InputError for a decision that cannot be kept, such as
    one that leaves a class without pictures in a split; BusyError where another process made the next version meanwhile.
    """
    catalog = DatasetCatalog(home / "datasets")
    data = catalog.resolve(folder.absolute())
    digest = data.manifest.digest
    review = Review.of(home, digest)
    if not review.folder.is_dir():
        return Revision(data, {})
    with locked_folder(review.folder):
        if catalog.resolve(folder.absolute()).manifest.digest != digest:
            raise BusyError(folder, "became another version meanwhile", "look at `modelyard data review` and run it again")
        decisions = review.decisions()
        fresh = {candidate.sha256: candidate for candidate in review.candidates() if candidate.is_new}
        overrides, counts = _overrides(data, decisions, fresh)
        if not overrides:
            return Revision(data, {})
        data.verify()
        added = [fresh[key] for key, item in overrides.items() if key in fresh and item.added and not item.drop]
        additions = _additions(data.manifest, review, added, overrides)
        source = ReviewedSource(DataSetSource(data, review.folder), {**read_overrides(data.folder), **overrides}, additions)
        return Revision(catalog.write(source, data.manifest.split, folder, progress, model=model), counts)


def _overrides(
    data: DataSet, decisions: Mapping[str, Decision], fresh: Mapping[str, Candidate]
) -> tuple[dict[str, Override], dict[str, int]]:
    """Picture's digest → what is other than it was; and how many of each kind."""
    before, present = read_overrides(data.folder), {row.sha256 for row in data.manifest.frames}
    overrides, counts = dict[str, Override](), Counter[str]()
    for digest, decision in decisions.items():
        if decision.action == "keep" or (digest not in present and (decision.action == "drop" or digest not in fresh)):
            continue
        override = _override(data, decision, added=digest not in present or before.get(digest, Override()).added)
        overrides[digest] = override
        kinds = {override.drop: "dropped", override.boxes is not None: "boxes", digest not in present: "added"}
        counts[kinds.get(True, "relabelled")] += 1
    return overrides, dict(counts)


def _override(data: DataSet, decision: Decision, *, added: bool) -> Override:
    """What a decision means for this data set. Raises InputError for one that it cannot mean."""
    manifest, subject = data.manifest, f"decision about {decision.sha256[:12]}"
    if decision.action == "drop":
        return Override(drop=True, added=added)
    labels = {box.label for box in decision.boxes} if decision.boxes is not None else {decision.label}
    if unknown := sorted(labels - set(manifest.labels)):
        remedy = f"decide again: its classes are {', '.join(manifest.labels[:20])}"
        raise InputError(subject, f"the data set has no class '{unknown[0]}'", remedy)
    if (decision.boxes is not None) != (manifest.task == "detect"):
        wanted = "boxes" if manifest.task == "detect" else "a class"
        raise InputError(subject, f"is not for this data set, which needs {wanted}", "keep or drop the picture")
    if decision.boxes is None:
        return Override(label=decision.label, added=added)
    sides = (box.model_dump(exclude={"score"}) for box in decision.boxes)
    return Override(boxes=tuple(Box(**side) for side in sides), added=added)


def _additions(
    manifest: Manifest, review: Review, added: Sequence[Candidate], overrides: Mapping[str, Override]
) -> list[Addition]:
    """Pictures that are not in the data set: each a group of its own, dealt so that the shares come as near as they can."""
    members = dict[str, Member]()
    for candidate in added:
        override = overrides[candidate.sha256]
        labels = {box.label for box in override.boxes} if override.boxes is not None else {override.label}
        members[candidate.sha256] = Member(candidate.sha256[:16], candidate.sha256, frozenset(labels))
    if manifest.split_from == "source" and members:
        have = [Member(row.clip, row.clip_sha256, frozenset(row.labels)) for row in manifest.frames]
        splits = deal([*have, *members.values()], manifest.split, assignments_of([manifest]))
        members = {
            key: Member(member.clip, member.digest, member.labels, splits[member.clip]) for key, member in members.items()
        }
    return [
        Addition(members[candidate.sha256], review.folder / candidate.file, candidate.clip or Path(candidate.file).name)
        for candidate in added
    ]
