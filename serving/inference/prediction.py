"""A model's row of numbers as a prediction with labels. Light: no runtime is imported here."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from serving.bundle.records import Struct

NOTHING = "nothing"
"""The label of an image in which a detector detects nothing."""

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
    return Prediction(best.label if best else NOTHING, best.score if best else 0.0, every, boxes)


def most_likely(probabilities: Mapping[str, float]) -> str:
    """The label of the highest probability; NOTHING where every one is 0, as of an image without detections."""
    best = max(probabilities, key=probabilities.__getitem__, default=NOTHING)
    return best if probabilities.get(best) else NOTHING
