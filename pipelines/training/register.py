"""Bringing a model that was trained elsewhere: it becomes a registered version.

An Ultralytics checkpoint is opened here, all other formats in `pipelines.training.foreign`. A registered version can be
exported and measured like any other. Nobody here saw its training, so no score of it counts as held out, and gates that ask
for one refuse it.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol

from pipelines.data.catalog import DatasetCatalog
from pipelines.data.dataset import DataSet
from pipelines.evaluation.evaluate import check_labels
from pipelines.job.trainers import YoloTrainer
from pipelines.training.foreign.bring import Bringer, Brought
from pipelines.training.foreign.keras_file import World
from pipelines.training.foreign.options import Options
from pipelines.training.foreign.recognise import recognise
from pipelines.training.trainers.build import check_installed
from pipelines.training.training import NAME_TAG, TASK_TAG
from registry.digests import sha256_file
from registry.errors import InputError, IntegrityError
from registry.promotion.verdict import resolve
from registry.protocols import Ledger, Store
from registry.records import ModelVersion
from registry.refs import Ref
from serving.bundle.modelinfo import ModelInfo
from serving.export.reference import Reference
from validation.scan import scan_folder

if TYPE_CHECKING:
    from pipelines.home import Say
    from registry.mlflow.tracker import Tracker


_URIS = ("runs:/", "models:/", "mlflow-artifacts:/")


class Purpose(Protocol):
    """What a version is registered for: a job, or the part of one that is known without a job file."""

    @property
    def model(self) -> str:
        """The registered model's name."""
        ...

    @property
    def task(self) -> Literal["classify", "detect"]:
        """What the model is made to do."""
        ...


@dataclass(frozen=True, slots=True)
class NamedModel:
    """A classifier's name, without a job file."""

    model: str
    task: Literal["classify", "detect"] = "classify"


@dataclass(frozen=True)
class Registration:
    """Registers models in a home. The store and the tracker are opened late: what is refused before needs no server.

    `server` is the address of the home's MLflow server; `world` is where Keras runs; the ledger knows the bundles that
    something was taught with.
    """

    store: Callable[[], Store]
    tracker: Callable[[str], Tracker]
    server: Callable[[], str]
    datasets: DatasetCatalog
    world: World
    say: Say
    ledger: Callable[[], Ledger]

    def register(self, job: Purpose, source: str, data: DataSet, options: Options) -> ModelVersion:
        """Register a model as a job's, with the data set whose images it is measured on.

        `source` is a path, or `runs:/RUN/model` and the like of the home's MLflow server. A `.pt` file of Ultralytics is a
        pickle and is opened here, after a scan: bring only files that you trust. Raises InputError for what is no such file,
        and IntegrityError for one that is dangerous; then nothing is registered.
        """
        with tempfile.TemporaryDirectory(prefix="modelyard-") as scratch:
            work = Path(scratch)
            path = self._path(source, work)
            kind = recognise(path)
            if kind == "ultralytics":
                return self._checkpoint(job, path, data, options, work)
            if job.task == "detect":
                why = "is a format that classifiers are brought in, and the job's task is detect"
                raise InputError(source, why, "bring a detector as Ultralytics' .pt, or fix `task:` in the job file")
            data.verify()
            bringer = Bringer(work, self.world, options, self.say)
            brought = self._taught(bringer, path, data, source) if kind == "taught" else bringer.bring(kind, path, data, source)
            digest = {"source_sha256": sha256_file(path)} if path.is_file() else {}
            params = {"source": Path(source).name, "format": kind, **digest, **brought.params}
            return self._log(job, data, brought.info, (brought.folder, None), params)

    def _taught(self, bringer: Bringer, path: Path, data: DataSet, source: str) -> Brought:
        """A head from the page on its base's network, held to the page's own answers."""
        from pipelines.training.foreign.taught import bundle_of, opened_taught

        if given := bringer.options.given:
            raise InputError(given[0], "is not for a file from the page, which says it by itself", "leave it out")
        bundles = partial(bundle_of, self.ledger())
        with opened_taught(path, bringer.work, data, bundles, source) as taught:
            brought = bringer.package(taught.model, taught.about, data, source)
            answers = Reference(brought.folder, brought.info, self.world.python).probabilities(taught.files)
            self.say(taught.compare(answers, source))
            self.say(f"of the test split the page trained on {taught.params['test_trained_on']} pictures")
        return Brought(brought.folder, brought.info, brought.params | taught.params)

    def _path(self, source: str, work: Path) -> Path:
        if not source.startswith(_URIS):
            return Path(source)
        from registry.mlflow.fetch import fetch_model

        self.say(f"fetching {source}")
        return fetch_model(source, self.server(), work / "fetched")

    def _checkpoint(self, job: Purpose, checkpoint: Path, data: DataSet, options: Options, work: Path) -> ModelVersion:
        if options.given:
            raise InputError(options.given[0], "is not for a .pt of Ultralytics, which says it by itself", "leave it out")
        check_installed(YoloTrainer(), Path())
        own = work / "checkpoint" / checkpoint.name
        own.parent.mkdir()
        shutil.copy2(checkpoint, own)
        if scan_folder(own.parent).dangerous:
            raise IntegrityError(checkpoint, "holds code that runs when it is opened", "do not use it")
        data.verify()
        folder, about = work / "model", (job.task, options.size, data)
        info = _package(_Copy(own, checkpoint), folder, about, work, self.say)
        return self._log(job, data, info, (folder, own.parent), {"checkpoint": checkpoint.name})

    def _log(
        self, job: Purpose, data: DataSet, info: ModelInfo, folders: tuple[Path, Path | None], params: dict[str, str]
    ) -> ModelVersion:
        """One run with the model and, where there is one, the folder that it came from."""
        folder, kept = folders
        data = self.datasets.add(data, registered=job.model)
        tracker, store = self.tracker(job.model), self.store()
        self.say("logging and registering the model")
        with tracker.run(info.arch, {NAME_TAG: info.trainer, TASK_TAG: job.task}) as run:
            run.params({**params, "trained": "elsewhere", "dataset": data.manifest.digest})
            if kept:
                run.folder(kept, "training")
            number = run.model(folder, info.arch, job.model, job.task)
        return resolve(store, Ref(job.model, number))


@dataclass(frozen=True, slots=True)
class _Copy:
    """A copy that is worked on, and the file of the user's that errors name."""

    path: Path
    original: Path


def _package(checkpoint: _Copy, folder: Path, about: tuple[str, int | None, DataSet], work: Path, say: Say) -> ModelInfo:
    """Write the model's folder, and hold it to Ultralytics on the data set's validation images."""
    from pipelines.training.trainers.checkpoint import compare_with_ultralytics, describe, open_checkpoint, package_checkpoint

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
    return info
