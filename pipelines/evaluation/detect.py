"""Scores of a detector on held-out images: mAP as COCO defines it, with an interval that respects clips."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from pipelines.data.dataset import DataSet, FrameRow
from pipelines.evaluation.boxes import Boxes, Detections, Pairing, outcomes_of, pair, real
from registry.records import BoxOutcomes, ClassScore, Evaluation, Mistake, SliceScore
from validation.average_precision import average_precisions, draws, mean_ap

LEAST_SCORE = 0.001
"""Detections count from here on, as in COCO's and Ultralytics' figures; served are those of the model's own least score."""
_MISTAKES = 12
_AT_75 = 5


@dataclass(frozen=True, slots=True)
class HeldOutBoxes:
    """What was held out: each image's boxes, clip and file, in the order of the detections.

    `served` is the score from which on the model answers. A slice's pattern is searched in clips' names.
    """

    labels: list[str]
    truth: list[Boxes]
    clips: list[str]
    files: list[str]
    served: float = 0.25
    slices: Mapping[str, str] = field(default_factory=dict[str, str])

    def part(self, kept: Sequence[int]) -> HeldOutBoxes:
        """Some of the images, without slices."""
        chosen = ([values[index] for index in kept] for values in (self.truth, self.clips, self.files))
        return HeldOutBoxes(self.labels, *chosen, served=self.served)  # pyright: ignore[reportArgumentType]


def held_out_boxes(data: DataSet, rows: Sequence[FrameRow], served: float, slices: Mapping[str, str]) -> HeldOutBoxes:
    """The boxes of a data set's images, cut at the images' edges; those without area are none."""
    index_of = {label: index for index, label in enumerate(data.manifest.labels)}
    truth = [_boxes_of(row, index_of) for row in rows]
    return HeldOutBoxes(data.manifest.labels, truth, [row.clip for row in rows], [row.file for row in rows], served, slices)


def _boxes_of(row: FrameRow, index_of: Mapping[str, int]) -> Boxes:
    sides = np.asarray([(box.left, box.top, box.right, box.bottom) for box in row.boxes or ()], np.float64).reshape(-1, 4)
    sides = np.clip(sides, 0, 1) * (row.width, row.height, row.width, row.height)
    kinds = np.asarray([index_of[box.label] for box in row.boxes or ()], np.float64).reshape(-1, 1)
    boxes = np.hstack([sides, kinds]).astype(np.float32)
    return boxes[(boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1])]


def evaluate_boxes(detections: NDArray[np.float32], held: HeldOutBoxes, dataset: str, split: str) -> Evaluation:
    """Score `[N, most, 6]` detections of at least LEAST_SCORE. What is no number counts as not detected."""
    outcomes = outcomes_of(held.truth, list(detections), held.clips, len(held.labels))
    figures = average_precisions(outcomes, np.ones((1, len(outcomes.per_clip)), np.int64))
    served = [_served(rows, held.served) for rows in detections]
    pairings = [pair(boxes, rows) for boxes, rows in zip(held.truth, served, strict=True)]
    confusion = _confusion(held, served, pairings)
    classes = [_class_score(label, index, confusion, figures[0, index]) for index, label in enumerate(held.labels)]
    right, answered, there = np.trace(confusion), confusion[:, :-1].sum(), confusion[:-1].sum()
    metrics = _maps(figures) | {
        "map75": _mean(figures, _AT_75),
        "worst_ap": min((score.ap for score in classes if score.ap is not None), default=0.0),
        "precision": float(right / answered) if answered else 0.0,
        "recall": float(right / there) if there else 0.0,
    }
    return Evaluation(
        task="detect",
        dataset=dataset,
        split=split,
        images=len(held.truth),
        clips=len(outcomes.per_clip),
        metrics=metrics,
        interval=_interval(outcomes),
        classes=classes,
        confusion=confusion.tolist(),
        slices={name: _slice(pattern, outcomes, held.clips) for name, pattern in held.slices.items()},
        boxes=outcomes,
        mistakes=_mistakes(held, served, pairings),
    )


def _served(rows: Detections, least: float) -> Detections:
    rows = real(rows)
    return rows[rows[:, 4] > least]


def _mean(figures: NDArray[np.float64], overlap: int | None = None) -> float:
    """Of one weighting; without any box there is nothing to find, and nothing was."""
    return float(np.nan_to_num(mean_ap(figures, overlap))[0])


def _maps(figures: NDArray[np.float64]) -> dict[str, float]:
    return {"map50_95": _mean(figures), "map50": _mean(figures, 0)}


def _interval(outcomes: BoxOutcomes) -> tuple[float, float]:
    """The 95 % percentile interval of mAP50-95, resampling whole clips with replacement."""
    figures = mean_ap(average_precisions(outcomes, draws(len(outcomes.per_clip))))
    figures = figures[np.isfinite(figures)]
    low, high = np.quantile(figures, [0.025, 0.975]) if len(figures) else (0.0, 0.0)
    return float(low), float(high)


def _slice(pattern: str, outcomes: BoxOutcomes, clips: Sequence[str]) -> SliceScore:
    """The figures of the images whose clip a pattern is found in."""
    member = np.asarray([[re.search(pattern, name) is not None for name in sorted(set(clips))]], np.int64)
    images = int((member[0] * np.asarray(outcomes.per_clip)).sum())
    return SliceScore(images=images, pattern=pattern, metrics=_maps(average_precisions(outcomes, member)) if images else {})


def _confusion(held: HeldOutBoxes, served: Sequence[Detections], pairings: Sequence[Pairing]) -> NDArray[np.int64]:
    """Boxes of a class down, what they were taken for across; last the background, which has only what is spurious."""
    confusion = np.zeros((len(held.labels) + 1,) * 2, np.int64)
    for boxes, rows, pairing in zip(held.truth, served, pairings, strict=True):
        for box, row in pairing.pairs:
            confusion[int(boxes[box, 4]), int(rows[row, 5])] += 1
        for box in pairing.missed:
            confusion[int(boxes[box, 4]), -1] += 1
        for row in pairing.spurious:
            confusion[-1, int(rows[row, 5])] += 1
    return confusion


def _class_score(label: str, index: int, confusion: NDArray[np.int64], figures: NDArray[np.float64]) -> ClassScore:
    """One class: a detection of another class is a miss of its own and spurious for the other."""
    hit, answered, support = (int(n) for n in (confusion[index, index], confusion[:, index].sum(), confusion[index].sum()))
    return ClassScore(
        label=label,
        precision=hit / answered if answered else 0.0,
        recall=hit / support if support else 0.0,
        f1=2 * hit / (answered + support) if hit else 0.0,
        support=support,
        ap=float(figures.mean()) if support else None,
        ap50=float(figures[0]) if support else None,
    )


def _mistakes(held: HeldOutBoxes, served: Sequence[Detections], pairings: Sequence[Pairing]) -> list[Mistake]:
    """What was detected most surely and wrongly, and, as far as there is room, the largest boxes that were missed."""
    wrong, missed = list[tuple[float, Mistake]](), list[tuple[float, Mistake]]()
    for file, boxes, rows, pairing in zip(held.files, held.truth, served, pairings, strict=True):
        taken = {row: held.labels[int(boxes[box, 4])] for box, row in pairing.pairs}
        labels = taken | dict.fromkeys(pairing.spurious, "")
        for row, label in labels.items():
            answer, score = held.labels[int(rows[row, 5])], float(rows[row, 4])
            if answer != label:
                wrong.append((score, _mistake(file, (label, answer), score, rows[row])))
        for box in pairing.missed:
            area = float((boxes[box, 2] - boxes[box, 0]) * (boxes[box, 3] - boxes[box, 1]))
            missed.append((area, _mistake(file, (held.labels[int(boxes[box, 4])], ""), 0.0, boxes[box])))
    half = max(_MISTAKES // 2, _MISTAKES - len(missed))
    first = [mistake for _, mistake in sorted(wrong, key=lambda scored: -scored[0])[:half]]
    return first + [mistake for _, mistake in sorted(missed, key=lambda sized: -sized[0])[: _MISTAKES - len(first)]]


def _mistake(file: str, words: tuple[str, str], score: float, box: NDArray[np.float32]) -> Mistake:
    left, top, right, bottom = (round(float(side), 1) for side in box[:4])
    return Mistake(file=file, label=words[0], answer=words[1], probability=score, box=(left, top, right, bottom))
