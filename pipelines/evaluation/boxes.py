"""Which detection is which box: matching as COCO defines it, and the outcomes that average precision is computed from."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from registry.records import BoxOutcomes
from serving.export.detections import overlap
from validation.average_precision import IOUS

Boxes = NDArray[np.float32]
"""`[N, 5]`: left, top, right and bottom in the image's pixels, and the class."""
Detections = NDArray[np.float32]
"""`[N, 6]`: left, top, right and bottom in the image's pixels, the score, and the class; best first."""
_MOST = 100
"""Detections of an image that count, as for COCO."""
_DIGITS = 9
"""Of a score: with fewer, scores that differ would tie, and rank in another order than COCO ranks them."""


def outcomes_of(truth: Sequence[Boxes], detections: Sequence[Detections], clips: Sequence[str], classes: int) -> BoxOutcomes:
    """What was detected of what is there, image by image. `clips` has one name an image.

    Detections of a class that rank behind its last hit are left out: no average precision depends on them, whichever clips
    are drawn.
    """
    names = sorted(set(clips))
    member = {name: index for index, name in enumerate(names)}
    counts, columns = np.zeros((classes, len(names)), int), list[tuple[int, int, float, int]]()
    for boxes, rows, clip in zip(truth, detections, clips, strict=True):
        np.add.at(counts[:, member[clip]], boxes[:, 4].astype(int), 1)
        best = real(rows)[:_MOST]
        columns += [
            (member[clip], int(row[5]), round(float(row[4]), _DIGITS), hit)
            for row, hit in zip(best, _hits(boxes, best), strict=True)
        ]
    kept, images = _that_count(columns), Counter(clips)
    return BoxOutcomes(
        per_clip=[images[name] for name in names],
        truth=counts.tolist(),
        clips=[row[0] for row in kept],
        kinds=[row[1] for row in kept],
        scores=[row[2] for row in kept],
        hits=[row[3] for row in kept],
    )


def real(rows: Detections) -> Detections:
    """Detections without padding and without numbers that are none, best first."""
    rows = rows[np.isfinite(rows).all(axis=1) & (rows[:, 4] > 0)]
    return rows[np.argsort(-rows[:, 4], kind="stable")]


def _hits(truth: Boxes, rows: Detections) -> list[int]:
    """For each detection, best first: a bit for each overlap at which it is a box of its class that is still free."""
    hits = np.zeros(len(rows), int)
    overlaps = np.where(rows[:, 5:6] == truth[None, :, 4], overlap(rows[:, :4], truth[:, :4]), -1.0)
    free = np.ones((len(IOUS), len(truth)), bool)
    levels = np.arange(len(IOUS))
    limits = np.minimum(IOUS, 1 - 1e-6)  # overlaps are float32
    for index in np.flatnonzero(overlaps.max(axis=1, initial=-1.0) >= limits[0]):
        shares = np.where(free, overlaps[index], -1.0)
        best = shares.argmax(axis=1)
        hit = shares[levels, best] >= limits
        free[levels[hit], best[hit]] = False
        hits[index] = int((hit << levels).sum())
    return hits.tolist()


def _that_count(columns: list[tuple[int, int, float, int]]) -> list[tuple[int, int, float, int]]:
    """Without what ranks behind the last hit of its class."""
    lowest = dict[int, float]()
    for _, kind, score, hit in columns:
        if hit:
            lowest[kind] = min(score, lowest.get(kind, score))
    return [row for row in columns if row[2] >= lowest.get(row[1], np.inf)]


@dataclass(frozen=True, slots=True)
class Pairing:
    """One image's boxes and what was detected of them at one overlap, whichever the classes.

    `pairs` are indices of a box and of a detection, `missed` of boxes, `spurious` of detections.
    """

    pairs: list[tuple[int, int]]
    missed: list[int]
    spurious: list[int]


def pair(truth: Boxes, rows: Detections) -> Pairing:
    """Pair boxes and detections that overlap by half, those of one class first, then the best overlaps: for confusions."""
    overlaps = overlap(truth[:, :4], rows[:, :4])
    same = truth[:, 4:5] == rows[None, :, 5]
    order = np.argsort(-(overlaps + same), axis=None, kind="stable")
    boxes, others, pairs = set(range(len(truth))), set(range(len(rows))), list[tuple[int, int]]()
    for box, row in zip(*np.unravel_index(order, overlaps.shape), strict=True):
        if overlaps[box, row] >= IOUS[0] and box in boxes and row in others:
            pairs.append((int(box), int(row)))
            boxes.discard(box)
            others.discard(row)
    return Pairing(pairs, sorted(boxes), sorted(others))
