"""Everything that is measured of a classifier on a split, from one pass of its own framework over all the pictures."""

from __future__ import annotations

import tempfile
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pipelines.data.catalog import DatasetCatalog
from pipelines.data.dataset import DataSet, FrameRow
from pipelines.data.leaks.known import known_leaks
from pipelines.data.samples import chosen_in_turn
from pipelines.evaluation.calibration import calibrate
from pipelines.evaluation.conformal import prediction_sets
from pipelines.evaluation.leaked import price_of_leaks
from pipelines.evaluation.robustness import images_for, robustness, write_worse
from pipelines.evaluation.scores import HeldOutSet, Probabilities, evaluate
from registry.records import ClassScore, Evaluation
from serving.export.reference import Reference

CALIBRATION_SPLIT = "val"
"""What temperature and prediction sets are fitted on: training chose its best epoch by it, and did not fit it."""


@dataclass(frozen=True)
class Classification:
    """What a classifier is scored on. `thorough`: also its probabilities, its "unsure" and worse pictures."""

    data: DataSet
    split: str
    slices: Mapping[str, str]
    thorough: bool = True

    @property
    def calibration_rows(self) -> list[FrameRow]:
        """The images to calibrate on; none where they are those that are scored."""
        return self.data.rows(CALIBRATION_SPLIT) if self.thorough and self.split != CALIBRATION_SPLIT else []

    def held(self, rows: list[FrameRow]) -> HeldOutSet:
        """The truth of some images."""
        labels, clips = self.data.manifest.labels, [row.clip for row in rows]
        return HeldOutSet(labels, self.data.targets(rows), clips, self.slices, [row.file for row in rows])


def score_classifier(reference: Reference, asked: Classification, datasets: DatasetCatalog) -> Evaluation:
    """The scores, from the image files; without the leaked ones; and how far they can be relied on."""
    data, rows, others = asked.data, asked.data.held(asked.split), asked.calibration_rows
    size = reference.info.preprocess.size
    few = chosen_in_turn(rows, images_for(size)) if asked.thorough else []
    with tempfile.TemporaryDirectory(prefix="modelyard-") as scratch:
        worse = write_worse(reference.info.preprocess, data.files(few), Path(scratch))
        answers = reference.probabilities([*data.files(rows), *data.files(others), *worse])
    mine, theirs, worse_answers = _parted(answers, len(rows), len(others))
    held = asked.held(rows)
    evaluation = evaluate(mine, held, data.manifest.digest, asked.split)
    leaked = price_of_leaks(mine, held, known_leaks(datasets, data), asked.split)
    classes = _with_clips(evaluation.classes, data, asked.split)
    evaluation = evaluation.model_copy(update={"leaked": leaked, "classes": classes})
    if not asked.thorough:
        return evaluation
    other = (theirs, asked.held(others)) if others else None
    position = {row.file: index for index, row in enumerate(rows)}
    clean = mine[[position[row.file] for row in few]]
    return with_metrics(
        evaluation.model_copy(
            update={
                "calibration": calibrate(mine, held, other, CALIBRATION_SPLIT),
                "sets": prediction_sets((mine, held), other, CALIBRATION_SPLIT) if other else None,
                "robustness": robustness(clean, worse_answers, asked.held(few)),
            }
        )
    )


def with_metrics(evaluation: Evaluation) -> Evaluation:
    """The evaluation with the figures of its further measurements among its metrics, where gates and MLflow look for them."""
    metrics = dict(evaluation.metrics)
    if calibration := evaluation.calibration:
        metrics["ece"] = calibration.ece
        if calibration.temperature is not None and calibration.ece_scaled is not None:
            metrics |= {"temperature": calibration.temperature, "ece_scaled": calibration.ece_scaled}
    if sets := evaluation.sets:
        metrics |= {"coverage": sets.coverage, "set_size": sets.mean_size, "unsure": sets.unsure}
        metrics |= {} if sets.sure_top1 is None else {"sure_top1": sets.sure_top1}
    if robust := evaluation.robustness:
        mean = sum(robust.top1.values()) / len(robust.top1)
        metrics |= robust.top1 | {"robust_top1": mean, "robust_drop": robust.clean - mean}
    return evaluation.model_copy(update={"metrics": metrics})


def _parted(answers: Probabilities, rows: int, others: int) -> tuple[Probabilities, Probabilities, Probabilities]:
    """The answers about the scored images, about those to calibrate on, and about the worse ones."""
    return answers[:rows], answers[rows : rows + others], answers[rows + others :]


def _with_clips(classes: list[ClassScore], data: DataSet, split: str) -> list[ClassScore]:
    """Each class with the number of its clips that were scored, and that training had."""
    clips = defaultdict[tuple[str, str], set[str]](set)
    for row in data.manifest.frames:
        clips[row.split, row.label].add(row.clip)
    return [
        score.model_copy(update={"clips": len(clips[split, score.label]), "train_clips": len(clips["train", score.label])})
        for score in classes
    ]
