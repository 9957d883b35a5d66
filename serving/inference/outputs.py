"""From a network's numbers to an answer in plain data: the one place, whoever serves. Nothing but Python is imported."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

NOTHING = "nothing"
"""The label of an image in which a detector detects nothing."""

NUMBERS = 6
"""A detection: left, top, right, bottom, score, class."""


def classification(labels: Sequence[str], row: Sequence[float]) -> dict[str, Any]:
    """A classifier's row of probabilities → `label`, `probability`, `probabilities`."""
    return _answer(dict(zip(labels, row, strict=True)))


def detection(labels: Sequence[str], rows: Iterable[Sequence[float]]) -> dict[str, Any]:
    """A detector's rows of six numbers, best first → the same of each class's best score, and `boxes`.

    Rows without a score are padding.
    """
    best, boxes = dict.fromkeys(labels, 0.0), list[dict[str, Any]]()
    for left, top, right, bottom, score, kind in rows:
        if score > 0:
            label = labels[int(kind)]
            boxes.append({"label": label, "score": score, "box": (left, top, right, bottom)})
            best[label] = max(best[label], score)
    return _answer(best) | {"boxes": boxes}


def most_likely(probabilities: Mapping[str, float]) -> str:
    """The label of the highest probability; NOTHING where every one is 0, as of an image without detections."""
    best = max(probabilities, key=probabilities.__getitem__, default=NOTHING)
    return best if probabilities.get(best) else NOTHING


def _answer(probabilities: dict[str, float]) -> dict[str, Any]:
    label = most_likely(probabilities)
    return {"label": label, "probability": probabilities.get(label, 0.0), "probabilities": probabilities}
