"""What an image was said to show. Light: no runtime is imported here."""

from __future__ import annotations

from registry.records import Record


class Box(Record):
    """One thing that a detector found: left, top, right and bottom in the image's pixels."""

    label: str
    score: float
    box: tuple[float, float, float, float]


class Prediction(Record):
    """The best label, its probability, and every class's probability; for a detector each class's best score, and boxes."""

    label: str
    probability: float
    probabilities: dict[str, float]
    boxes: list[Box] | None = None
