"""What a version answered on held-out images, as far as it is kept for comparisons."""

from __future__ import annotations

from typing import Self

from pydantic import model_validator

from registry.records.base import Record


class Outcomes(Record):
    """Which held-out images were answered correctly: what two versions are compared by, image by image.

    `right` has one character an image, "1" or "0", in the manifest's order with the images of a clip together;
    `per_clip` says how many images each clip has, in that order.
    """

    right: str
    per_clip: list[int]


class BoxOutcomes(Record):
    """Every detection of a held-out split that average precision depends on, and how many boxes there were.

    mAP is no mean over images, so that comparing two detectors, or resampling clips, needs the detections themselves.
    `per_clip` counts the images of each clip, in the order of clips' names; `truth` has a row for each class, the boxes in
    each of these clips. Of each detection: the index of its clip and its class, its score, and in `hits` a bit for each
    overlap of 0.5, 0.55 … 0.95 at which it is a box of its class that no better one had taken (the lowest bit is 0.5).
    """

    per_clip: list[int]
    truth: list[list[int]]
    clips: list[int] = []
    kinds: list[int] = []
    scores: list[float] = []
    hits: list[int] = []

    @model_validator(mode="after")
    def _columns_match(self) -> Self:
        if len({len(self.clips), len(self.kinds), len(self.scores), len(self.hits)}) != 1:
            raise ValueError("columns of detections differ in length")
        if any(len(row) != len(self.per_clip) for row in self.truth):
            raise ValueError("truth does not have a count for each clip")
        if any(not 0 <= clip < len(self.per_clip) for clip in self.clips):
            raise ValueError("a detection lies in no clip")
        if any(not 0 <= kind < len(self.truth) for kind in self.kinds):
            raise ValueError("a detection is of no class")
        return self

    def same_images(self, other: BoxOutcomes) -> bool:
        """Whether both are of the same images: as many in each clip, with as many boxes of each class."""
        return self.per_clip == other.per_clip and self.truth == other.truth


class Mistake(Record):
    """A held-out image that was answered wrongly. `probability` is what the wrong answer was given.

    A detector's has a `box`, in the image's pixels (left, top, right, bottom): without an answer it was missed, without a
    label nothing is there.
    """

    file: str
    label: str
    answer: str
    probability: float
    box: tuple[float, float, float, float] | None = None


class Leaked(Record):
    """The part of held-out images that an earlier split gives away, and the scores without it.

    `kinds`: how many images by which evidence. Without any image left there are no other scores.
    """

    images: int
    share: float
    kinds: dict[str, int]
    metrics: dict[str, float] = {}
    interval: tuple[float, float] | None = None
