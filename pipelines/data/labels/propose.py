"""Labels and boxes as a model proposes them. They count for nothing until a person accepts them.

A proposer of another package is an entry point of the group `modelyard.proposers`: a name, and a class without arguments that
implements `Proposer`. `modelyard data propose --with NAME` then asks it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, Protocol, cast

from pipelines.data.dataset import DataSet, FrameRow, Progress
from pipelines.data.source import file_name
from pipelines.data.sources import IMAGE_ENDINGS
from registry.digests import sha256_bytes
from registry.errors import InputError, NotFoundError, missing_extra
from registry.files import write_atomic
from registry.reports.reviews import Candidate, ProposedBox, Review
from serving.bundle.decode import decode

GROUP = "modelyard.proposers"

Fields = Mapping[str, Any]
"""`label` and `probability`; of a detector `boxes` too, each with `label`, `score` and `box`: left, top, right and bottom in
pixels of the upright picture."""


class Proposer(Protocol):
    """Whoever is asked what a picture shows."""

    def __call__(self, data: bytes) -> Fields:
        """What an image file's bytes show. Raises InputError for what is wrong with the picture."""
        ...


@dataclass(frozen=True)
class Asked:
    """A proposer, what its proposals are marked with, and how sure it must be."""

    ask: Proposer
    name: str
    least: float


@dataclass(frozen=True)
class Proposals:
    """What was proposed. `skipped` counts, by reason, pictures without a proposal."""

    candidates: Sequence[Candidate]
    skipped: Mapping[str, int]


def installed_proposers() -> list[str]:
    """Names of the proposers that packages bring."""
    return sorted({entry.name for entry in entry_points(group=GROUP)})


def load_proposer(name: str) -> Proposer:
    """A proposer by its entry point's name. Raises NotFoundError, and UnavailableError for what it misses."""
    entries = entry_points(group=GROUP, name=name)
    if not entries:
        known = ", ".join(installed_proposers()) or "none"
        raise NotFoundError(f"proposer '{name}'", f"is not installed (installed: {known})", "install its package")
    try:
        return cast("Proposer", next(iter(entries)).load()())
    except ImportError as error:
        raise missing_extra(error.name or name, f"proposer '{name}'") from error


def propose_for(data: DataSet, asked: Asked, progress: Progress) -> Proposals:
    """Proposals for a data set's own pictures: of classes where the model says another, of boxes where there are none."""
    detects = data.manifest.task == "detect"
    rows = [row for row in data.manifest.frames if not detects or not row.boxes]
    return _collect(data, asked, _own(data, rows, progress))


def propose_new(data: DataSet, review: Review, images: Path, asked: Asked, progress: Progress) -> Proposals:
    """Proposals for a folder of pictures that are not in the data set; those with a proposal are copied into the review.

    Sub-folders are read too. Raises NotFoundError where there is no picture.
    """
    if not images.is_dir():
        raise NotFoundError(images, "there is no such folder of pictures", "name a folder with --images")
    files = sorted(path for path in images.rglob("*") if path.is_file() and path.suffix.lower() in IMAGE_ENDINGS)
    if not files:
        raise NotFoundError(
            images, "holds no pictures", f"give a folder of files that end in {' '.join(sorted(IMAGE_ENDINGS))}"
        )
    proposals = _collect(data, asked, _foreign(data, images, files, progress))
    contents = {candidate.sha256: images / candidate.clip for candidate in proposals.candidates}
    for candidate in proposals.candidates:
        write_atomic(review.folder / candidate.file, contents[candidate.sha256].read_bytes())
    return proposals


_Draft = Candidate | str
"""A picture before it was asked about, or why it is not asked about."""


def _own(data: DataSet, rows: Sequence[FrameRow], progress: Progress) -> Iterator[tuple[_Draft, Path]]:
    for count, row in enumerate(rows, 1):
        progress("pictures", count, len(rows))
        draft = _draft(row.file, row.sha256).model_copy(update={"label": row.label, "clip": row.clip, "split": row.split})
        yield draft, data.folder / row.file


def _foreign(data: DataSet, images: Path, files: Sequence[Path], progress: Progress) -> Iterator[tuple[_Draft, Path]]:
    seen = {row.sha256 for row in data.manifest.frames}
    for count, path in enumerate(files, 1):
        progress("pictures", count, len(files))
        content = path.read_bytes()
        digest = sha256_bytes(content)
        if digest in seen:
            yield "in the data set already", path
            continue
        seen.add(digest)
        name = file_name(path.stem, f"-{digest[:8]}{path.suffix.lower()}", digest)
        source = path.relative_to(images).as_posix()
        yield _draft(f"pictures/{name}", digest).model_copy(update={"clip": source, "is_new": True}), path


def _draft(file: str, digest: str) -> Candidate:
    return Candidate(kind="proposal", file=file, sha256=digest, label="", suggested="", score=0, by="")


def _collect(data: DataSet, asked: Asked, drafts: Iterator[tuple[_Draft, Path]]) -> Proposals:
    candidates, skipped = list[Candidate](), Counter[str]()
    propose = _boxed if data.manifest.task == "detect" else _labelled
    for draft, path in drafts:
        outcome = draft if isinstance(draft, str) else _proposed(data, asked, propose, draft, path)
        if isinstance(outcome, str):
            skipped[outcome] += 1
        else:
            candidates.append(outcome)
    if data.manifest.task == "classify":
        candidates.sort(key=lambda candidate: -candidate.score)
    return Proposals(candidates, skipped)


_Propose = Callable[[Sequence[str], Asked, Candidate, Fields, tuple[int, int]], _Draft]


def _proposed(data: DataSet, asked: Asked, propose: _Propose, draft: Candidate, path: Path) -> _Draft:
    """The draft with its proposal, or why there is none."""
    try:
        content = path.read_bytes()
        size = decode(content, str(path)).size
        fields = asked.ask(content)
    except InputError:
        if not draft.is_new:
            raise
        return "not a picture that can be read"
    try:
        outcome = propose(data.manifest.labels, asked, draft, fields, size)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        remedy = "give a classifier for classes, and a detector for boxes"
        raise InputError(asked.name, "does not answer as this data set needs it", remedy) from error
    return outcome if isinstance(outcome, str) else outcome.model_copy(update={"by": asked.name})


def _labelled(labels: Sequence[str], asked: Asked, draft: Candidate, fields: Fields, _: tuple[int, int]) -> _Draft:
    label, score = str(fields["label"]), float(fields["probability"])
    if not score >= asked.least:
        return f"less sure than {asked.least:g}"
    if label == draft.label:
        return "agrees with its label"
    if label not in labels:
        return "of a class that the data set does not have"
    return draft.model_copy(update={"suggested": label, "score": min(score, 1.0)})


def _boxed(labels: Sequence[str], asked: Asked, draft: Candidate, fields: Fields, size: tuple[int, int]) -> _Draft:
    """Boxes as shares of the picture, within it; those of no area, of other classes and of low scores are left out."""
    if fields.get("boxes") is None:
        raise TypeError("no detector")
    sure = [box for box in fields["boxes"] if float(box["score"]) >= asked.least]
    if not sure:
        return f"nothing detected with {asked.least:g} or more"
    known = [box for box in sure if box["label"] in labels]
    boxes = [box for box in (_shares(box, size) for box in known) if box.left < box.right and box.top < box.bottom]
    if not boxes:
        return "of a class that the data set does not have" if not known else "boxes outside of the picture"
    names = ", ".join(sorted({box.label for box in boxes}))
    return draft.model_copy(update={"suggested": names, "score": min(box.score or 0 for box in boxes), "boxes": tuple(boxes)})


def _shares(box: Mapping[str, Any], size: tuple[int, int]) -> ProposedBox:
    width, height = size
    left, top, right, bottom = (
        min(max(float(side) / length, 0.0), 1.0) for side, length in zip(box["box"], (width, height) * 2, strict=True)
    )
    score = min(float(box["score"]), 1.0)
    return ProposedBox(label=box["label"], left=left, top=top, right=right, bottom=bottom, score=score)
