"""Scores in MLflow, where people compare runs: figures, a table of the classes, curves, and the mistakes as pictures."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipelines.data.dataset import DataSet
from pipelines.evaluation.answers import ScoredSplit
from pipelines.evaluation.mistakes import class_table, mistakes_sheet
from pipelines.evaluation.plots import confusion_figure
from pipelines.evaluation.trust import precision_recall_figure, reliability_figure
from registry.events import Evaluated
from registry.measured import price_in_words
from registry.records import ModelVersion
from registry.reports.accuracy import run_metrics
from registry.runs.rows import KIND

if TYPE_CHECKING:
    from registry.mlflow.tracker import RunLog, Tracker


@dataclass(frozen=True, slots=True)
class Shown:
    """A score to be shown: whose it is, on which data set (`dataset`: its version, as in hand@2), and each answer.

    `scored` is None where the answers are no classifier's.
    """

    version: ModelVersion
    data: DataSet
    dataset: str
    event: Evaluated
    scored: ScoredSplit | None = None


def show(tracker: Tracker, shown: Shown, *, own: bool) -> None:
    """Put a version's own scores on its training run, where people compare runs, and any others into a run of their own."""
    version, event, evaluation = shown.version, shown.event, shown.event.evaluation
    if own:
        with tracker.resume(version.run_id) as run:
            _write(run, shown)
        return
    tags = {KIND: "evaluation"} | ({"modelyard.training_run": version.run_id} if version.run_id else {})
    with tracker.run(f"evaluate {event.label} on {shown.dataset} {evaluation.split}", tags) as run:
        about = {"version": event.label, "digest": event.digest, "dataset": evaluation.dataset, "split": evaluation.split}
        run.params(about | {"dataset_version": shown.dataset})
        run.dataset(shown.dataset, evaluation.dataset, str(shown.data.folder.absolute()), evaluation.split)
        _write(run, shown)


def _write(run: RunLog, shown: Shown) -> None:
    """The figures, the whole evaluation, and the pictures of it."""
    evaluation, labels = shown.event.evaluation, list(shown.data.manifest.labels)
    if len(evaluation.confusion) == len(labels) + 1:  # a detector's boxes can be of no class
        labels.append("background")
    split = evaluation.split
    if evaluation.leaked:
        run.tags({f"modelyard.{split}_leaked": price_in_words(evaluation.leaked)})
    run.scores(run_metrics(evaluation), shown.version.source, (shown.dataset, evaluation.dataset))
    run.json(evaluation.model_dump(mode="json"), f"evaluation/{split}.json")
    run.text(class_table(evaluation, labels), f"evaluation/per_class_{split}.csv")
    title = f"{shown.dataset} {split}"
    run.figure(confusion_figure(evaluation.confusion, labels, title), f"plots/confusion_{split}.png")
    if shown.scored is None:
        return
    run.figure(precision_recall_figure(shown.scored, title), f"plots/precision_recall_{split}.png")
    run.figure(reliability_figure(shown.scored, title), f"plots/reliability_{split}.png")
    if sheet := mistakes_sheet(shown.scored):
        run.image(sheet, f"plots/mistakes_{split}.jpg")
