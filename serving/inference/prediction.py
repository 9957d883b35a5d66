"""A model's row of numbers as a prediction with labels. Light: no runtime is imported here."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from serving.bundle.records import Struct
from serving.inference.outputs import classification, detection


class Box(Struct, frozen=True):
    """One detected object: left, top, right and bottom in the image's pixels."""

    label: str
    score: float
    box: tuple[float, float, float, float]


class Prediction(Struct, frozen=True, omit_defaults=True):
    """The best label, its probability, and every class's probability; for a detector each class's best score, and boxes."""

    label: str
    probability: float
    probabilities: dict[str, float]
    boxes: list[Box] | None = None


def classified(labels: Sequence[str], row: Sequence[float]) -> Prediction:
    """A classifier's row of probabilities, with labels."""
    return Prediction(**classification(labels, row))


def detected(labels: Sequence[str], rows: Iterable[Sequence[float]]) -> Prediction:
    """A detector's boxes, best first, with labels; rows without a score are padding."""
    answer = detection(labels, rows)
    boxes = [Box(**box) for box in answer.pop("boxes")]
    return Prediction(**answer, boxes=boxes)
