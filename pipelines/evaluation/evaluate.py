"""Evaluating a registered version on held-out images, by its own framework."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from pipelines.data.catalog import DatasetCatalog
from pipelines.data.dataset import DataSet
from pipelines.data.leaks.known import known_leaks
from pipelines.evaluation.detect import LEAST_SCORE, evaluate_boxes, held_out_boxes
from pipelines.evaluation.leaked import price_of_leaked_boxes, price_of_leaks
from pipelines.evaluation.plots import confusion_figure
from pipelines.evaluation.scores import HeldOutSet
from pipelines.evaluation.scores import evaluate as score
from pipelines.job.policy import current_policy
from registry.digests import digest_of, manifest_of
from registry.errors import InputError, IntegrityError
from registry.events import Evaluated, Scanned, about
from registry.measured import price_in_words
from registry.promotion.verdict import resolve
from registry.protocols import Ledger, Store
from registry.records import BACKGROUND, Evaluation, ModelVersion
from registry.refs import Ref
from registry.reports.accuracy import is_own, run_metrics
from registry.runs.rows import KIND
from serving.bundle.modelinfo import ModelInfo, read_info
from serving.export.reference import Reference
from validation.scan import scan_folder

if TYPE_CHECKING:
    from registry.mlflow.tracker import RunLog, Tracker


@dataclass(frozen=True)
class Evaluator:
    """Scores registered versions. `tf_python` is TensorFlow's interpreter."""

    store: Store
    ledger: Ledger
    datasets: DatasetCatalog
    tracker: Callable[[str], Tracker]
    tf_python: Path

    def evaluate(self, ref: Ref, data: DataSet | None, split: str) -> Evaluated:
        """Score a version on a split; show it in MLflow, and record it in the ledger for its exact bytes.

        Without `data` it is the data set that the version was trained on, whose test split it has never seen: that score
        is the version's own, and its training run carries it. Scores on anything else get a run of their own, are
        recorded, and no gate counts them.
        """
        version = resolve(self.store, ref)
        with tempfile.TemporaryDirectory(prefix="modelyard-") as scratch:
            folder = self.store.fetch(version, Path(scratch))
            digest = digest_of(manifest_of(folder))
            info = read_info(folder, version.ref)
            scanned = Scanned(**about(version, digest), what="model", scan=scan_folder(folder))
            if dangerous := scanned.scan.dangerous:
                self.ledger.append(scanned)
                remedy = "do not use it; train it again"
                raise IntegrityError(version.ref, f"holds a dangerous file: {dangerous[0]}", remedy)
            data = data or self.datasets.find(info.dataset, version.ref)
            job = current_policy(self.ledger.entries(version.model))
            slices = job.data.slices if job else {}
            evaluation = _score(Reference(folder, info, self.tf_python), data, split, slices, self.datasets)
        event = Evaluated(**about(version, digest), evaluation=evaluation)
        own = bool(version.run_id) and is_own(self.ledger.entries(version.model), event)
        _show(self.tracker(version.model), version, data, event, own=own)
        self.ledger.append_all([scanned, event])  # last: what is recorded was shown, and what failed can be done again
        return event


def check_labels(info: ModelInfo, data: DataSet, subject: object) -> None:
    """Refuse to judge a model on a data set for another task, or on other classes than its own."""
    if info.task != data.manifest.task:
        what = f"is a data set to {data.manifest.task} with, the model is made to {info.task}"
        raise InputError(data.name, what, "give the data set it was made for")
    if info.labels != data.manifest.labels:
        ours, theirs = ", ".join(info.labels), ", ".join(data.manifest.labels)
        raise InputError(subject, f"knows the classes {ours}, the data set has {theirs}", "give the data set it was made for")


def _score(reference: Reference, data: DataSet, split: str, slices: Mapping[str, str], datasets: DatasetCatalog) -> Evaluation:
    """The scores, from the image files; and without the leaked ones."""
    rows, info = data.held(split), reference.info
    data.verify()
    check_labels(info, data, f"model trained by {info.trainer}")
    if info.task == "detect":
        return _score_boxes(reference, data, split, slices, datasets)
    probabilities = reference.probabilities(data.files(rows))
    held_out = HeldOutSet(
        data.manifest.labels, data.targets(rows), [row.clip for row in rows], slices, [row.file for row in rows]
    )
    evaluation = score(probabilities, held_out, data.manifest.digest, split)
    leaked = price_of_leaks(probabilities, held_out, known_leaks(datasets, data), split)
    return evaluation.model_copy(update={"leaked": leaked})


def _score_boxes(
    reference: Reference, data: DataSet, split: str, slices: Mapping[str, str], datasets: DatasetCatalog
) -> Evaluation:
    """A detector's scores, from the image files; and without the leaked ones."""
    rows, rule = data.held(split), reference.info.suppression
    held_out = held_out_boxes(data, rows, rule.score, slices)
    if not any(map(len, held_out.truth)):
        raise InputError(data.name, f"its {split} split has no box, so there is nothing to find", "label some of its images")
    info = reference.info.changed(suppression=rule.changed(score=min(rule.score, LEAST_SCORE)))
    detections = replace(reference, info=info).probabilities(data.files(rows))
    evaluation = evaluate_boxes(detections, held_out, data.manifest.digest, split)
    leaked = price_of_leaked_boxes(detections, held_out, known_leaks(datasets, data), split)
    return evaluation.model_copy(update={"leaked": leaked})


def _show(tracker: Tracker, version: ModelVersion, data: DataSet, event: Evaluated, *, own: bool) -> None:
    """Put a version's own scores on its training run, where people compare runs, and any others into a run of their own."""
    evaluation = event.evaluation
    if own:
        with tracker.resume(version.run_id) as run:
            _write(run, version, data, evaluation)
        return
    tags = {KIND: "evaluation"} | ({"modelyard.training_run": version.run_id} if version.run_id else {})
    with tracker.run(f"evaluate {event.label} {evaluation.split}", tags) as run:
        run.params({"version": event.label, "digest": event.digest, "dataset": evaluation.dataset, "split": evaluation.split})
        run.dataset(version.model, evaluation.dataset, str(data.folder.absolute()), evaluation.split)
        _write(run, version, data, evaluation)


def _write(run: RunLog, version: ModelVersion, data: DataSet, evaluation: Evaluation) -> None:
    """The figures, the whole evaluation, and the picture of its confusion matrix."""
    split = evaluation.split
    if evaluation.leaked:
        run.tags({f"modelyard.{split}_leaked": price_in_words(evaluation.leaked)})
    run.scores(run_metrics(evaluation), version.source, (version.model, evaluation.dataset))
    run.json(evaluation.model_dump(mode="json"), f"evaluation/{split}.json")
    labels = [*data.manifest.labels, *([BACKGROUND] if evaluation.task == "detect" else [])]
    figure = confusion_figure(evaluation.confusion, labels, f"{split} split")
    run.figure(figure, f"plots/confusion_{split}.png")
