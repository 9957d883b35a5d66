"""What a model answered while it was scored, kept for the pictures of it: no image is asked about twice."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from pipelines.data.dataset import DataSet, FrameRow
from serving.export.reference import Answers, Reference


@dataclass(frozen=True)
class RememberingReference(Reference):
    """A registered model that keeps its answer to each file."""

    by_file: dict[Path, Answers] = field(default_factory=dict[Path, Answers])

    def probabilities(self, images: Sequence[Path]) -> Answers:
        """The answers, in order."""
        answers = Reference.probabilities(self, images)
        self.by_file.update(zip(images, answers, strict=True))
        return answers


@dataclass(frozen=True, slots=True)
class ScoredSplit:
    """A split's frames, and what a classifier said of each: probabilities `[N, classes]`; a row with a NaN in it is wrong."""

    labels: list[str]
    rows: list[FrameRow]
    files: list[Path]
    targets: Answers
    probabilities: Answers

    @property
    def guesses(self) -> Answers:
        """The class of each answer; -1 where it is no number."""
        finite = np.isfinite(self.probabilities).all(axis=1)
        return np.where(finite, np.nan_to_num(self.probabilities, nan=-1.0).argmax(axis=1), -1)

    @property
    def sure(self) -> Answers:
        """The probability that each answer was given; 1 where it is no number: nothing is worse."""
        finite = np.isfinite(self.probabilities).all(axis=1)
        return np.where(finite, np.nan_to_num(self.probabilities, nan=-1.0).max(axis=1), 1.0)

    @property
    def right(self) -> Answers:
        """Whether each answer is the true class."""
        return self.guesses == self.targets


def scored_split(reference: RememberingReference, data: DataSet, split: str) -> ScoredSplit | None:
    """What was answered about a split; None for a detector, and where not every frame was asked about."""
    rows = data.rows(split)
    files = data.files(rows)
    if reference.info.task != "classify" or not rows or any(file not in reference.by_file for file in files):
        return None
    probabilities = np.stack([reference.by_file[file] for file in files])
    return ScoredSplit(data.manifest.labels, rows, files, np.asarray(data.targets(rows)), probabilities)
