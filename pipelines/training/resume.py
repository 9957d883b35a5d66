"""Going on with a training that was broken off, and telling MLflow later what it could not be told then.

A run is resumed with the config and the data set that it began with. Where it runs is the job file's to say, since too little
memory may be why it ended.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import TypeAdapter, ValidationError

from pipelines.data.catalog import DatasetCatalog
from pipelines.data.dataset import DataSet
from pipelines.evaluation.describe import describe_broken
from pipelines.job.trainers import TrainerConfig
from pipelines.training.interrupted import earlier_part
from pipelines.training.kept import RECORD, TrainingFolder, TrainingRecord
from pipelines.training.spool import SpooledRun
from registry.errors import BusyError, InputError, ModelyardError, NotFoundError, UnavailableError, describe, shorten
from registry.events import Trained
from registry.protocols import Ledger, Store

if TYPE_CHECKING:
    from pipelines.home import Say
    from registry.mlflow.tracker import Tracker

_TRAINER: TypeAdapter[TrainerConfig] = TypeAdapter(TrainerConfig)
_SHORTEST = 4
"""Characters of a run's id; fewer name a run by accident."""


def find_training(trainings: Path, run: str, ledger: Ledger) -> TrainingFolder:
    """The training that a run's id, or its beginning, names. Raises NotFoundError, and InputError for one that ended well."""
    ids = sorted(path.parent.name for path in trainings.glob(f"*/{RECORD}"))
    ended = [row.event for row in ledger.entries() if isinstance(row.event, Trained) and row.flaw is None]
    for event in ended:
        if event.run_id == run or (len(run) >= _SHORTEST and event.run_id.startswith(run) and not _named(ids, run)):
            raise InputError(f"run '{run}'", f"has ended well: it is {event.label}", "train a new one with `modelyard train`")
    named = _named(ids, run)
    if len(named) > 1:
        raise InputError(f"run '{run}'", f"names {len(named)} trainings ({', '.join(named[:3])})", "give more of its id")
    if not named:
        known = f"those that can be resumed: {', '.join(ids[:5])}" if ids else "no training here was broken off"
        raise NotFoundError(f"run '{run}'", "names no training that was broken off here", known)
    return TrainingFolder(trainings.absolute() / named[0])


def _named(ids: Sequence[str], run: str) -> list[str]:
    return [run] if run in ids else [name for name in ids if len(run) >= _SHORTEST and name.startswith(run)]


def check_resumable(folder: TrainingFolder, record: TrainingRecord, model: str) -> None:
    """Raise InputError for a run of another model, and NotFoundError for one whose checkpoints are gone."""
    if record.model != model:
        what = f"trains model '{record.model}', the job file's is '{model}'"
        raise InputError(f"run {record.run_id}", what, "name its own job file with --job")
    if folder.resumable:
        return
    if any(epoch.resumable for epoch in folder.history()):
        raise NotFoundError(folder.checkpoints, "holds no checkpoint any more", "train anew with `modelyard train`")


def trainer_of(record: TrainingRecord) -> TrainerConfig:
    """The trainer that a run began with. Raises InputError for a config of another release that means nothing here."""
    try:
        return _TRAINER.validate_python(record.config)
    except ValidationError as error:
        why = f"was begun by another release ({shorten(error.errors()[0]['msg'], 100)})"
        raise InputError(f"run {record.run_id}", why, "resume it with that release, or train anew") from error


def resumed_data(record: TrainingRecord, datasets: DatasetCatalog, given: DataSet | None) -> DataSet:
    """The data set that a run began with, its files checked. `given` is one that the user named.

    Raises InputError where that is another one, and IntegrityError where a file has changed.
    """
    if given and given.manifest.digest != record.dataset:
        what = f"is not the data set that run {record.run_id} trains on ({record.dataset[:12]})"
        raise InputError(given.name, what, "leave --data out")
    data = given or datasets.find(record.dataset, f"run {record.run_id}")
    data.verify()
    return data


def upload_pending(
    trainings: Path, ledger: Ledger, tracker: Callable[[str], Tracker], store: Callable[[], Store], say: Say
) -> list[str]:
    """Tell MLflow what trainings that nobody works on could not tell it; sentences of what was told.

    A run that is registered and paid for is finished then, and its folder goes; one that was killed is shown as killed.
    Asks MLflow only where there is anything to tell. What cannot be told now stays for the next time.
    """
    lines = list[str]()
    for path in sorted(trainings.absolute().glob(f"*/{RECORD}")):
        folder = TrainingFolder(path.parent)
        try:
            with folder.locked():
                lines += _upload(folder, ledger, tracker, store, say)
        except (BusyError, FileNotFoundError):  # it trains, or another process has just told all
            continue
        except UnavailableError as error:
            return [*lines, f"what trainings logged waits: {error}"]
        except (ModelyardError, OSError) as error:
            lines.append(f"run {path.parent.name} could not be brought to MLflow: {describe(error)}")
    return lines


def _upload(
    folder: TrainingFolder, ledger: Ledger, tracker: Callable[[str], Tracker], store: Callable[[], Store], say: Say
) -> list[str]:
    record = folder.record
    if not (record.open or folder.spool.exists()):
        return []
    part = earlier_part(ledger, record.model, record.run_id)
    done = isinstance(part, Trained)
    about, there = f"run {record.run_id} of {record.model}", tracker(record.model)
    with there.resume(record.run_id) as log:
        SpooledRun(log, folder, say).flush()
    if record.open:
        there.end(record.run_id, "FINISHED" if done else "KILLED")
        folder.close()
    if not isinstance(part, Trained):
        describe_broken(store(), record.run_id, part, resumable=folder.resumable)
    if done:
        folder.remove()
    how = "is finished" if done else f"can be resumed: `modelyard train --resume {record.run_id}`"
    return [f"{about} is in MLflow as far as it came, and {how}"]
