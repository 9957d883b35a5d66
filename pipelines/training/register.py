"""Bringing a model that was trained elsewhere: an Ultralytics checkpoint becomes a registered version.

It can be exported and measured like any other. Nobody here saw its training, so no score of it counts as held out, and
gates that ask for one refuse it.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pipelines.data.catalog import DatasetCatalog
from pipelines.data.dataset import DataSet
from pipelines.evaluation.evaluate import check_labels
from pipelines.job.trainers import YoloTrainer
from pipelines.training.train import NAME_TAG, TASK_TAG
from pipelines.training.trainers.build import check_installed
from registry.errors import InputError, IntegrityError, NotFoundError
from registry.promotion.verdict import resolve
from registry.protocols import Store
from registry.records import ModelVersion
from registry.refs import Ref
from validation.scan import scan_folder

if TYPE_CHECKING:
    from pipelines.home import Say
    from pipelines.job.jobfile import Job
    from registry.mlflow.tracker import Tracker


@dataclass(frozen=True)
class Registration:
    """Registers checkpoints in a home. The store and the tracker are opened late: what is refused before needs no server."""

    store: Callable[[], Store]
    tracker: Callable[[str], Tracker]
    datasets: DatasetCatalog
    say: Say

    def register(self, job: Job, checkpoint: Path, data: DataSet, size: int | None) -> ModelVersion:
        """Register a `.pt` file of Ultralytics as a job's model, with the data set whose images it is measured on.

        The file is a pickle and is opened here, after a scan: bring only files that you trust. Raises InputError for what is
        no such file, and IntegrityError for one that the scanner calls dangerous.
        """
        model = job.model
        if checkpoint.suffix != ".pt":
            raise InputError(checkpoint, "is not a .pt file", "give the best.pt of a training with Ultralytics")
        if not checkpoint.is_file():
            raise NotFoundError(checkpoint, "is not a file", "name the best.pt of a training")
        check_installed(YoloTrainer(), Path())
        with tempfile.TemporaryDirectory(prefix="modelyard-") as scratch:
            work = Path(scratch)
            own = work / "checkpoint" / checkpoint.name
            own.parent.mkdir()
            shutil.copy2(checkpoint, own)
            if scan_folder(own.parent).dangerous:
                raise IntegrityError(checkpoint, "holds code that runs when it is opened", "do not use it")
            data.verify()
            folder, arch = work / "model", checkpoint.stem
            _package(_Copy(own, checkpoint), folder, (job.task, size, data), work, self.say)
            data = self.datasets.add(data, registered=model)
            tracker, store = self.tracker(model), self.store()
            self.say("logging and registering the model")
            with tracker.run(arch, {NAME_TAG: "yolo", TASK_TAG: job.task}) as run:
                run.params({"checkpoint": checkpoint.name, "trained": "elsewhere", "dataset": data.manifest.digest})
                run.folder(own.parent, "training")
                number = run.model(folder, arch, model, job.task)
        return resolve(store, Ref(model, number))


@dataclass(frozen=True, slots=True)
class _Copy:
    """A copy that is worked on, and the file of the user's that errors name."""

    path: Path
    original: Path


def _package(checkpoint: _Copy, folder: Path, about: tuple[str, int | None, DataSet], work: Path, say: Say) -> None:
    """Write the model's folder, and hold it to Ultralytics on the data set's validation images."""
    from pipelines.training.trainers.checkpoint import compare_with_ultralytics, describe, open_checkpoint, package_checkpoint
    from serving.export.reference import Reference

    (task, size, data), arch = about, checkpoint.original.stem
    opened = open_checkpoint(checkpoint.path, work, checkpoint.original)
    info = describe(opened, arch, size, data.manifest.digest)
    if info.task != task:
        raise InputError(
            checkpoint.original, f"is made to {info.task}, the job's task is {task}", "fix `task:` in the job file"
        )
    if info.task == "classify":
        check_labels(info, data, checkpoint.original)
    if info.preprocess.size % 32 or info.preprocess.size <= 0:
        raise InputError("--imgsz", f"{info.preprocess.size} is not a multiple of 32", "give the side it was trained with")
    say(f"{arch}: a {'classifier' if info.task == 'classify' else 'detector'} of {', '.join(info.labels)}")
    package_checkpoint(opened, folder, info)
    say("comparing it with Ultralytics' own predict")
    rows = data.rows("val") or data.rows("test")
    compare_with_ultralytics(open_checkpoint(checkpoint.path, work), Reference(folder, info, Path()), data.files(rows))
