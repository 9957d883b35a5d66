"""Two versions' scores on the test images that both were scored on: what can be compared where their data sets differ."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from pipelines.data.dataset import FrameRow, Manifest
from pipelines.data.difference import common_images
from pipelines.evaluation.scores import bootstrap_interval
from registry.records import Evaluation, Record

Manifests = Callable[[str], Manifest | None]
"""Digest of a data set → its manifest, None where it is not known here."""


class CommonScore(Record):
    """Top-1 of both on their common test images. `only_a` and `only_b`: images that one of them alone gets right.

    `difference` is b's top-1 less a's, and `interval` its 95 % bootstrap interval, resampled by clip.
    """

    images: int
    clips: int
    a: float
    b: float
    only_a: int
    only_b: int
    difference: float
    interval: tuple[float, float]


class SetComparison(Record):
    """How the test sets of two versions relate. `score` is None where nothing can be compared, or all is the same."""

    same: bool
    text: str
    score: CommonScore | None = None


@dataclass(frozen=True)
class Scored:
    """A version, its own score, and what it was trained and scored on is called."""

    name: str
    evaluation: Evaluation
    data: str


def compare_test_sets(a: Scored, b: Scored, manifests: Manifests) -> SetComparison:
    """Whether the scores of two versions are of the same images, and if not, how both do on those that are common."""
    if a.evaluation.dataset == b.evaluation.dataset:
        return SetComparison(same=True, text=f"{a.name} and {b.name} were scored on the same test images")
    mine, yours = manifests(a.evaluation.dataset), manifests(b.evaluation.dataset)
    different = f"{a.name} and {b.name} were scored on different data sets ({a.data} and {b.data})"
    if mine is None or yours is None:
        gone = a.data if mine is None else b.data
        return SetComparison(same=False, text=f"{different}, and {gone} is not here any more: their figures cannot be compared")
    pairs = common_images(mine, yours)
    sizes = [len(common_images(side, side)) for side in (mine, yours)]
    if sizes == [len(pairs)] * 2:
        return SetComparison(
            same=True, text=f"{different}, whose test images are the same {len(pairs)}: their figures can be compared"
        )
    tests = f"{a.name} was scored on {sizes[0]} test images ({a.data}), {b.name} on {sizes[1]} ({b.data})"
    if not pairs:
        return SetComparison(same=False, text=f"{tests}, and none is in both: their figures cannot be compared")
    answers = _answers(mine, a.evaluation), _answers(yours, b.evaluation)
    if answers[0] is None or answers[1] is None:
        name = a.name if answers[0] is None else b.name
        text = f"{tests}: {len(pairs)} are in both, but which of them {name} got right was not recorded"
        return SetComparison(same=False, text=f"{text}; run `modelyard evaluate {name}`")
    score = _score(pairs, answers[0], answers[1])
    figures = f"{a.name} has top-1 {score.a:.4f} and {b.name} {score.b:.4f}"
    return SetComparison(same=False, text=f"{tests}; on the {len(pairs)} that are in both, {figures}", score=score)


def _answers(manifest: Manifest, evaluation: Evaluation) -> dict[str, bool] | None:
    """A test image's file → whether it was answered correctly; None where that was not recorded for each of them."""
    rows = [row for row in manifest.frames if row.split == evaluation.split]
    if evaluation.outcomes is None or len(evaluation.outcomes.right) != len(rows):
        return None
    in_order = sorted(rows, key=lambda row: row.clip)  # as `Outcomes` says: a clip's images together
    return {row.file: right == "1" for row, right in zip(in_order, evaluation.outcomes.right, strict=True)}


def _score(pairs: list[tuple[FrameRow, FrameRow]], mine: dict[str, bool], yours: dict[str, bool]) -> CommonScore:
    a = np.asarray([mine[row.file] for row, _ in pairs], np.float64)
    b = np.asarray([yours[row.file] for _, row in pairs], np.float64)
    clips = [row.clip for _, row in pairs]
    return CommonScore(
        images=len(pairs),
        clips=len(set(clips)),
        a=float(a.mean()),
        b=float(b.mean()),
        only_a=int((a > b).sum()),
        only_b=int((b > a).sum()),
        difference=float((b - a).mean()),
        interval=bootstrap_interval(b - a, clips),
    )
