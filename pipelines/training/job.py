"""Steps that the command line and the demo share."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pipelines.bundles.export import open_exported
from pipelines.data.dataset import DataSet
from pipelines.identity import whoami
from pipelines.job.policy import current_policy, set_policy
from pipelines.money.budgets import hold_budget
from pipelines.training.interrupted import book_interrupted
from pipelines.training.train import Training, train
from registry.errors import RefusedError
from registry.events import Exported, Trained
from registry.files import building
from registry.money.prices import local_price
from registry.records import DataVerdict

if TYPE_CHECKING:
    from pipelines.data.dataset import Progress
    from pipelines.home import Say, Workshop
    from pipelines.job.jobfile import Job
    from pipelines.job.trainers import TrainerConfig
    from validation.data.suite import DataReport


def check_data(workshop: Workshop, job: Job, data: DataSet, say: Say) -> DataReport:
    """Check a data set, put the report into MLflow, and stop a strict job whose data does not hold."""
    from pipelines.data.checks import check

    say("checking the data set with Great Expectations")
    report = check(data, workshop.settings.home / "reports" / job.model)
    with workshop.tracker(job.model).run("data", {"modelyard.kind": "data"}) as run:
        run.dataset(job.model, data.manifest.digest, str(data.folder.absolute()), "check")
        run.metrics({"frames": len(data.manifest.frames), "errors": len(report.errors), "warnings": len(report.warnings)})
        run.folder(report.docs, "data_docs")
    say(f"data checks: {len(report.passed)} hold, {len(report.warnings)} warn, {len(report.errors)} fail")
    if job.data.checks == "strict" and not report.holds:
        raise RefusedError(data.folder, f"fails its checks: {report.errors[0].text}", "mend the data, see `modelyard check`")
    return report


def train_all(
    workshop: Workshop, job: Job, configs: Sequence[TrainerConfig], data: DataSet, progress: Progress, say: Say
) -> list[Trained]:
    """Check the data, then train one after the other: two at once would only slow each other down on one machine."""
    for line in book_interrupted(workshop.settings.underway, workshop.ledger()):
        say(line)
    hold_budget(workshop.ledger().entries(), job.model, say, job.budget)
    adapters = [(config, workshop.trainer(config)) for config in configs]
    report, actor = check_data(workshop, job, data, say), whoami(workshop.settings)
    errors, warnings = len(report.errors), len(report.warnings)
    verdict = DataVerdict(dataset=data.manifest.digest, holds=report.holds, errors=errors, warnings=warnings)
    workshop.note_dataset(data)
    tracker, context = workshop.tracker(job.model), workshop.context()
    if current_policy(context.ledger.entries(job.model)) is None:
        set_policy(context.ledger, job, actor)
    events: list[Trained] = []
    for config, adapter in adapters:
        say(f"{config.kind}: training {config.arch} for {config.epochs} epochs")
        price, underway = local_price(workshop.settings), workshop.settings.underway
        training = Training(adapter, config, config.kind, data, job.model, price, actor, verdict, underway)

        def told(epoch: int, metrics: Mapping[str, float], one: TrainerConfig = config) -> None:
            score = f" (val top-1 {metrics['val_top1']:.3f})" if "val_top1" in metrics else ""
            progress(f"{one.kind}: epochs", epoch, one.epochs)
            if epoch == one.epochs:
                say(f"{one.kind}: trained{score}")

        events.append(train(context, tracker, training, told, say))
    return events


def copy_bundle(event: Exported, to: Path) -> None:
    """Copy a checked bundle to a new folder, whole or not at all."""
    bundle = open_exported(event)
    with building(to) as work:
        shutil.copytree(bundle.folder, work, dirs_exist_ok=True)
