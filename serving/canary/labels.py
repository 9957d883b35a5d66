"""What an answer of the server says of each picture, whichever protocol it is in, and whether two answers say the same."""

from __future__ import annotations

from typing import Any, NamedTuple, cast

import msgspec

from serving.inference.outputs import NUMBERS, most_likely

_SURE = 0.5
"""A box of at least this score must be found by the other version, too: one that is barely served comes and goes."""
_OVERLAP = 0.5


class DetectedBox(NamedTuple):
    """One box of a detector's answer: its class, its score, and left, top, right and bottom in the picture's pixels."""

    label: str
    score: float
    box: tuple[float, ...]


Answer = str | tuple[DetectedBox, ...]
"""Of one picture: a classifier's label, or a detector's boxes."""


def answers_of(body: bytes) -> list[Answer] | None:
    """One answer for each picture; None if the body is not one of our answers."""
    try:
        answer = msgspec.json.decode(body)
        if "label" in answer:
            return [_of_picture(answer)]
        if "predictions" in answer:
            return [_of_picture(prediction) for prediction in answer["predictions"]]
        return _of_tensors(answer["outputs"])
    except (msgspec.DecodeError, UnicodeDecodeError, KeyError, TypeError, ValueError):
        return None


def same_answers(stable: list[Answer], canary: list[Answer]) -> bool:
    """Whether two versions say the same of every picture: the same label, or boxes of the same things in the same places."""
    return len(stable) == len(canary) and all(_same(a, b) for a, b in zip(stable, canary, strict=True))


def _same(a: Answer, b: Answer) -> bool:
    if isinstance(a, str) or isinstance(b, str):
        return a == b
    return _has_all(a, b) and _has_all(b, a)


def _has_all(boxes: tuple[DetectedBox, ...], others: tuple[DetectedBox, ...]) -> bool:
    """Whether each box that is sure has a partner of its own class among the others."""
    free = list(others)
    for box in sorted(boxes, key=lambda box: -box.score):
        if box.score < _SURE:
            break
        partner = max((other for other in free if other.label == box.label), key=lambda o: _overlap(box, o), default=None)
        if partner is None or _overlap(box, partner) < _OVERLAP:
            return False
        free.remove(partner)
    return True


def _overlap(a: DetectedBox, b: DetectedBox) -> float:
    """Intersection over union."""
    width = min(a.box[2], b.box[2]) - max(a.box[0], b.box[0])
    height = min(a.box[3], b.box[3]) - max(a.box[1], b.box[1])
    both = max(width, 0.0) * max(height, 0.0)
    areas = sum((box.box[2] - box.box[0]) * (box.box[3] - box.box[1]) for box in (a, b))
    return both / (areas - both) if areas > both else 0.0


def _of_picture(prediction: dict[str, Any]) -> Answer:
    boxes = prediction.get("boxes")
    if boxes is None:
        return str(prediction["label"])
    return tuple(DetectedBox(str(box["label"]), float(box["score"]), tuple(map(float, box["box"]))) for box in boxes)


def _of_tensors(outputs: list[dict[str, Any]]) -> list[Answer]:
    """Of the Open Inference Protocol: the labels if the answer has them, else the index of the highest probability.

    A detector's rows are left, top, right, bottom, score and class.
    """
    named = {output["name"]: output for output in outputs}
    if "label" in named:
        return [str(label) for label in named["label"]["data"]]
    if "detections" in named:
        _, most, numbers = named["detections"]["shape"]
        if numbers != NUMBERS:
            raise ValueError("not a detector's rows")
        pictures = _rows(named["detections"]["data"], most * numbers)
        return [tuple(_box(row) for row in _rows(picture, numbers) if row[4] > 0) for picture in pictures]
    probabilities = named["probabilities"]
    rows = _rows(probabilities["data"], int(probabilities["shape"][-1]))
    return [most_likely({str(index): probability for index, probability in enumerate(row)}) for row in rows]


def _box(row: list[float]) -> DetectedBox:
    return DetectedBox(str(int(row[5])), row[4], tuple(row[:4]))


def _rows(values: Any, width: int) -> list[list[float]]:
    """A flat tensor, cut into rows."""
    data = cast("list[float]", values)
    return [data[at : at + width] for at in range(0, len(data), width)]
