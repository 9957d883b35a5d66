"""A home with a data set of shapes, and a review of it: what tests of reviews share."""

from __future__ import annotations

from pathlib import Path

from shapes import CLASSES, quiet

from pipelines.data.dataset import DataSet, FrameRow, open_dataset
from pipelines.data.labels.decide import Choices, decide
from pipelines.data.labels.revise import Revision, apply_review
from registry.reports.reviews import Candidate, Review


def current(home: Path) -> DataSet:
    return open_dataset(home / "datasets" / "hand")


def review_of(home: Path) -> Review:
    return Review.of(home, current(home).manifest.digest)


def candidate(row: FrameRow, suggested: str = "disc") -> Candidate:
    facts = {"file": row.file, "sha256": row.sha256, "label": row.label, "clip": row.clip, "split": row.split}
    return Candidate(kind="label-error", suggested=suggested, score=0.9, by="cleanlab", **facts)


def suggest(home: Path) -> list[Candidate]:
    """Every picture is suggested for the class after its own."""
    rows = current(home).manifest.frames
    candidates = [candidate(row, CLASSES[(CLASSES.index(row.label) + 1) % 3]) for row in rows]
    review_of(home).suggest("label-error", candidates)
    return candidates


def choose(home: Path, **choices) -> None:
    decide(current(home), review_of(home), Choices(**choices), "ada")


def apply(home: Path) -> Revision:
    return apply_review(home / "datasets" / "hand", home, quiet)


def by_digest(data: DataSet) -> dict[str, FrameRow]:
    return {row.sha256: row for row in data.manifest.frames}
