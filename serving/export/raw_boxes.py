"""A detector's raw output to boxes, in numpy alone: what an app does after a variant whose graph does not decode them.

The browser package does the same in `serving/browser/src/detections.ts`. Either is what to follow on a phone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Head:
    """How a detector's raw output is laid out, and which boxes count: `detector.json` with the labels and the size."""

    size: int
    strides: Sequence[int]
    classes: int
    score: float
    iou: float
    most: int


def decode(raw: Numbers, head: Head) -> Numbers:
    """`raw` `[cells, channels]` or `[channels, cells]` → detections `[N, 6]` in pixels of the network's input, best first.

    A row is left, top, right, bottom, score, class. Raises ValueError for an output that does not fit the head.
    """
    centres, strides = _cells(head)
    rows = raw if raw.shape[0] == len(centres) else raw.T
    bins, rest = divmod(rows.shape[1] - head.classes, 4)
    if len(rows) != len(centres) or rest or bins < 1:
        raise ValueError(f"raw output {raw.shape} does not fit {len(centres)} cells and {head.classes} classes")
    logits = rows[:, 4 * bins :]
    kinds = logits.argmax(1)
    scores = 1 / (1 + np.exp(-logits[np.arange(len(rows)), kinds]))
    sure = scores > head.score
    distances = _expectation(rows[sure, : 4 * bins].reshape(-1, 4, bins)) * strides[sure, None]
    centres = centres[sure] * strides[sure, None]
    corners = np.concatenate([centres - distances[:, :2], centres + distances[:, 2:]], 1)
    boxes = np.concatenate([corners, scores[sure, None], kinds[sure, None]], 1).astype(np.float32)
    return _suppress(boxes[np.argsort(-boxes[:, 4], kind="stable")], head)


def _cells(head: Head) -> tuple[Numbers, Numbers]:
    """Each cell's centre, counted in its strides, and its stride: row by row, stride by stride."""
    centres, strides = list[Numbers](), list[Numbers]()
    for stride in head.strides:
        middles = np.arange(-(-head.size // stride), dtype=np.float32) + np.float32(0.5)
        across, down = np.meshgrid(middles, middles)
        centres.append(np.stack([across.ravel(), down.ravel()], 1))
        strides.append(np.full(across.size, stride, np.float32))
    return np.concatenate(centres), np.concatenate(strides)


def _expectation(logits: Numbers) -> Numbers:
    """The means of distributions over 0, 1, 2, … `[N, 4, bins]` given by logits; a single bin is the distance itself."""
    if logits.shape[2] == 1:
        return logits[:, :, 0]
    weights = np.exp(logits - logits.max(2, keepdims=True))
    return (weights * np.arange(logits.shape[2])).sum(2) / weights.sum(2)


def _suppress(boxes: Numbers, head: Head) -> Numbers:
    """Of boxes of one class that overlap more than `iou` only the best stays; `boxes` are best first."""
    kept: list[Numbers] = []
    while len(boxes) and len(kept) < head.most:
        best, boxes = boxes[0], boxes[1:]
        kept.append(best)
        boxes = boxes[(boxes[:, 5] != best[5]) | (_overlaps(best, boxes) <= head.iou)]
    return np.stack(kept) if kept else np.zeros((0, 6), np.float32)


def _overlaps(box: Numbers, others: Numbers) -> Numbers:
    """Intersection over union of one box with others, in doubles as the reference has it."""
    mine, theirs = box[:4].astype(np.float64), others[:, :4].astype(np.float64)
    low, high = np.maximum(mine[:2], theirs[:, :2]), np.minimum(mine[2:], theirs[:, 2:])
    both = np.prod(np.clip(high - low, 0, None), axis=1)
    areas = np.prod(mine[2:] - mine[:2]) + np.prod(theirs[:, 2:] - theirs[:, :2], axis=1)
    return both / np.maximum(areas - both, 1e-9)
