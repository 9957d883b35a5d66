"""Everything that is measured of a detector on a split, from one pass over its pictures."""

from __future__ import annotations

from dataclasses import replace

from pipelines.data.catalog import DatasetCatalog
from pipelines.data.leaks.known import known_leaks
from pipelines.evaluation.classify import Classification
from pipelines.evaluation.detect import LEAST_SCORE, evaluate_boxes, held_out_boxes
from pipelines.evaluation.leaked import price_of_leaked_boxes
from registry.errors import InputError
from registry.records import Evaluation
from serving.export.reference import Reference


def score_detector(reference: Reference, asked: Classification, datasets: DatasetCatalog) -> Evaluation:
    """The scores, from the image files; and without the leaked ones. Raises InputError for a split without any box."""
    data, split = asked.data, asked.split
    rows, rule = data.held(split), reference.info.suppression
    held_out = held_out_boxes(data, rows, rule.score, asked.slices)
    if not any(map(len, held_out.truth)):
        raise InputError(data.name, f"its {split} split has no box, so there is nothing to find", "label some of its images")
    info = reference.info.changed(suppression=rule.changed(score=min(rule.score, LEAST_SCORE)))
    detections = replace(reference, info=info).probabilities(data.files(rows))
    evaluation = evaluate_boxes(detections, held_out, data.manifest.digest, split)
    leaked = price_of_leaked_boxes(detections, held_out, known_leaks(datasets, data), split)
    return evaluation.model_copy(update={"leaked": leaked})
