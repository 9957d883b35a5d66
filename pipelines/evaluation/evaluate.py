"""Evaluating a registered version on held-out images, by its own framework."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pipelines.data.catalog import DatasetCatalog
from pipelines.data.dataset import DataSet
from pipelines.evaluation.answers import RememberingReference, scored_split
from pipelines.evaluation.classify import Classification, score_classifier
from pipelines.evaluation.describe import describe_in_mlflow
from pipelines.evaluation.detection import score_detector
from pipelines.evaluation.show import Shown, show
from pipelines.job.policy import current_policy
from registry.digests import digest_of, manifest_of
from registry.errors import InputError, IntegrityError
from registry.events import Evaluated, Scanned, about
from registry.promotion.verdict import resolve
from registry.protocols import Ledger, Store
from registry.records import Evaluation
from registry.refs import Ref
from registry.reports.accuracy import is_own
from serving.bundle.modelinfo import ModelInfo, read_info
from serving.export.reference import Reference
from validation.scan import scan_folder

if TYPE_CHECKING:
    from registry.mlflow.tracker import Tracker


@dataclass(frozen=True)
class Evaluator:
    """Scores registered versions. `tf_python` is TensorFlow's interpreter."""

    store: Store
    ledger: Ledger
    datasets: DatasetCatalog
    tracker: Callable[[str], Tracker]
    tf_python: Path

    def evaluate(self, ref: Ref, data: DataSet | None, split: str, *, thorough: bool = True) -> Evaluated:
        """Score a version on a split; show it in MLflow, and record it in the ledger for its exact bytes.

        Without `data` it is the data set that the version was trained on, whose test split it has never seen: that score
        is the version's own, and its training run carries it. Scores on anything else get a run of their own, are
        recorded, and no gate counts them. Unless `thorough`, only what a comparison with another version needs is measured.
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
            asked = Classification(data, split, slices, thorough=thorough)
            reference = RememberingReference(folder, info, self.tf_python)
            evaluation = _score(reference, asked, self.datasets)
        event = Evaluated(**about(version, digest), evaluation=evaluation)
        own = bool(version.run_id) and is_own(self.ledger.entries(version.model), event)
        shown = Shown(version, data, self.datasets.name_of(data.manifest.digest), event, scored_split(reference, data, split))
        show(self.tracker(version.model), shown, own=own)
        self.ledger.append_all([scanned, event])  # last: what is recorded was shown, and what failed can be done again
        describe_in_mlflow(self.store, self.ledger, version.model, [version.version])
        return event


def check_labels(info: ModelInfo, data: DataSet, subject: object) -> None:
    """Refuse to judge a model on a data set for another task, or on other classes than its own."""
    if info.task != data.manifest.task:
        what = f"is a data set to {data.manifest.task} with, the model is made to {info.task}"
        raise InputError(data.name, what, "give the data set it was made for")
    if info.labels != data.manifest.labels:
        ours, theirs = ", ".join(info.labels), ", ".join(data.manifest.labels)
        raise InputError(subject, f"knows the classes {ours}, the data set has {theirs}", "give the data set it was made for")


def _score(reference: Reference, asked: Classification, datasets: DatasetCatalog) -> Evaluation:
    """The scores, from the image files; and without the leaked ones."""
    asked.data.held(asked.split)
    asked.data.verify()
    check_labels(reference.info, asked.data, f"model trained by {reference.info.trainer}")
    if reference.info.task == "detect":
        return score_detector(reference, asked, datasets)
    return score_classifier(reference, asked, datasets)
