"""A model's row of numbers as a prediction with labels. Light: no runtime is imported here."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from serving.bundle.records import Struct

NUMBERS = 6
"""A detection: left, top, right, bottom, score, class."""


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
    best = max(range(len(row)), key=row.__getitem__)
    return Prediction(labels[best], row[best], dict(zip(labels, row, strict=True)))


def detected(labels: Sequence[str], rows: Iterable[Sequence[float]]) -> Prediction:
    """A detector's boxes, best first, with labels; rows without a score are padding."""
    every, boxes = dict.fromkeys(labels, 0.0), list[Box]()
    for left, top, right, bottom, score, kind in rows:
        if score <= 0:
            continue
        label = labels[int(kind)]
        boxes.append(Box(label, score, (left, top, right, bottom)))
        every[label] = max(every[label], score)
    best = boxes[0] if boxes else None
    return Prediction(best.label if best else "nothing", best.score if best else 0.0, every, boxes)
