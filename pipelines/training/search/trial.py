"""One trial, in a worker of Ray: the trainer's child process, on the data set or on each of its folds; scores as they come."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from pipelines.data.dataset import MANIFEST, DataSet, Manifest, open_dataset
from pipelines.job.launch import LocalLaunch
from pipelines.job.trainers import TrainerConfig
from pipelines.training.launchers.ray_worker import Shipment, fit_here, scratch
from pipelines.training.trainers.contract import Watch
from registry.errors import InputError, ModelyardError
from registry.files import write_json

NO_SCORE = -1e9
"""Of a trial that failed: below any score, and a number that samplers can work with."""

Report = Callable[[dict[str, Any]], None]
"""Takes a trial's score so far, its epoch or fold as `step`, and `metrics`; or `failed`, which is why it ended."""


@dataclass(frozen=True, slots=True)
class TrialPlan:
    """What all trials of a search share. `folds` are manifests over the shipped files; none: the split as it is."""

    shipment: Shipment
    folds: Sequence[dict[str, Any]]
    metric: str
    launch: dict[str, Any]
    tf_python: str


def run_trial(trainer: Mapping[str, Any], plan: TrialPlan, report: Report) -> None:
    """Train, and report after each epoch, or after each fold. What the trainer refuses is a report, for no retry helps."""
    config: TrainerConfig = TypeAdapter(TrainerConfig).validate_python(dict(trainer))
    with scratch() as folder:
        try:
            data = plan.shipment.unpacked(folder)
            if plan.folds:
                _cross_validate(config, plan, data, folder, report)
            else:
                _fit(config, plan, data, folder / "work", report)
        except ModelyardError as error:
            report({"score": NO_SCORE, "step": 0, "metrics": {}, "failed": str(error)})


def _fit(config: TrainerConfig, plan: TrialPlan, data: DataSet, work: Path, report: Report) -> float:
    """Fit once; the best score of all epochs, which is what is reported after each."""
    best = [NO_SCORE]

    def on_epoch(epoch: int, metrics: Mapping[str, float]) -> None:
        if plan.metric not in metrics:
            known = ", ".join(sorted(metrics))
            raise InputError(
                f"metric '{plan.metric}'", f"is not among what {config.kind} reports ({known})", "correct `search:`"
            )
        if isfinite(metrics[plan.metric]):
            best[0] = max(best[0], float(metrics[plan.metric]))
        report({"score": best[0], "step": epoch, "metrics": {name: float(value) for name, value in metrics.items()}})

    launch = LocalLaunch.model_validate(plan.launch)
    fit_here(config, launch, Path(plan.tf_python), data, work, Watch(on_epoch=on_epoch))
    return best[0]


def _cross_validate(config: TrainerConfig, plan: TrialPlan, data: DataSet, folder: Path, report: Report) -> None:
    """Fit on each fold; the score is the mean of those that are done."""
    scores = list[float]()
    for number, document in enumerate(plan.folds, 1):
        part = _fold(data, Manifest.model_validate(document), folder / f"fold{number}")
        scores.append(_fit(config, plan, part, folder / f"work{number}", lambda _: None))
        mean = sum(scores) / len(scores)
        metrics = {plan.metric: scores[-1], f"mean_{plan.metric}": mean}
        report({"score": mean, "step": number, "metrics": metrics})


def _fold(data: DataSet, manifest: Manifest, folder: Path) -> DataSet:
    """The same files under another manifest."""
    folder.mkdir()
    for top in {Path(row.file).parts[0] for row in manifest.frames}:
        (folder / top).symlink_to(data.folder / top)
    write_json(folder / MANIFEST, manifest.document())
    part = open_dataset(folder)
    return DataSet(part.folder, part.manifest, data.name)
