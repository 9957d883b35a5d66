"""What a home keeps of a training until its version is registered and paid for, so that any process can go on with it.

    HOME/trainings/RUN/training.json     what is trained: config, data set, model; written first
    HOME/trainings/RUN/history.jsonl     each epoch's metrics and time
    HOME/trainings/RUN/checkpoints/      what the trainer resumes from
    HOME/trainings/RUN/spool.jsonl       what MLflow was not told yet
    HOME/trainings/RUN/fitted/           the trained model, once training has ended; whole or not there
    HOME/trainings/RUN/output.log        what the training process printed

The folder is locked by the process that trains: one that is not locked belongs to nobody who lives.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipelines.training.trainers.contract import Fitted
from registry.errors import BusyError
from registry.files import building, read_json, read_record, write_json
from registry.lease import locked_folder
from registry.records import DataVerdict, Record

RECORD = "training.json"
_FITTED = "fitted.json"


class TrainingRecord(Record):
    """What is trained, as it began. `config` is the trainer's, whole; `folder` is where the data set lay.

    `open`: MLflow has the run as running, and nobody has told it otherwise yet.
    """

    run_id: str
    model: str
    kind: str
    config: dict[str, Any]
    dataset: str
    folder: str
    verdict: DataVerdict
    open: bool = True


@dataclass(frozen=True, slots=True)
class Epoch:
    """One epoch as it was reported, at a time in milliseconds. `resumable`: there was a checkpoint before it ended."""

    number: int
    stamp: int
    metrics: Mapping[str, float]
    resumable: bool = False


@dataclass(frozen=True, slots=True)
class TrainingFolder:
    """One run's folder."""

    path: Path

    @classmethod
    def begin(cls, trainings: Path, record: TrainingRecord) -> TrainingFolder:
        """Make a run's folder."""
        folder = cls(trainings / record.run_id)
        write_json(folder.path / RECORD, record.model_dump(mode="json"))
        folder.checkpoints.mkdir(exist_ok=True)
        return folder

    @property
    def checkpoints(self) -> Path:
        """Where the trainer keeps what it resumes from."""
        return self.path / "checkpoints"

    @property
    def spool(self) -> Path:
        """What MLflow was not told yet."""
        return self.path / "spool.jsonl"

    @property
    def record(self) -> TrainingRecord:
        """What is trained. Raises DamagedFileError and MissingFileError."""
        return read_record(self.path / RECORD, TrainingRecord, "the record of a training", "train anew, and remove the folder")

    @contextmanager
    def locked(self) -> Generator[None]:
        """Hold the run within the block. Raises BusyError where another process has it."""
        busy = BusyError(f"run {self.path.name}", "is trained by another process now", "wait until it has ended")
        with locked_folder(self.path, busy):
            yield

    def close(self) -> None:
        """MLflow knows how the run ended."""
        write_json(self.path / RECORD, self.record.model_copy(update={"open": False}).model_dump(mode="json"))

    def remove(self) -> None:
        """The run is registered, paid for, and MLflow knows all of it: nothing of it is needed any more."""
        (self.path / RECORD).unlink(missing_ok=True)  # first: what has no record is no training
        shutil.rmtree(self.path, ignore_errors=True)

    def history(self) -> list[Epoch]:
        """The epochs that were reported, in order. A line that a killed process has cut is left out."""
        path, epochs = self.path / "history.jsonl", dict[int, Epoch]()
        for fields in read_lines(path):
            match fields:
                case {"epoch": int(number), "stamp": int(stamp), "metrics": {**metrics}}:
                    epochs.setdefault(number, Epoch(number, stamp, metrics, bool(fields.get("resumable"))))
                case _:
                    continue
        return [epochs[number] for number in sorted(epochs)]

    def add_epoch(self, number: int, stamp: int, metrics: Mapping[str, float]) -> Epoch:
        """Keep an epoch's metrics."""
        epoch = Epoch(number, stamp, dict(metrics), self.has_checkpoint())
        fields = {"epoch": number, "stamp": stamp, "metrics": epoch.metrics, "resumable": epoch.resumable}
        append_line(self.path / "history.jsonl", fields)
        return epoch

    def has_checkpoint(self) -> bool:
        """Whether the trainer has left anything to resume from."""
        return any(path.is_file() and not path.name.startswith(".") for path in self.checkpoints.rglob("*"))

    @property
    def resumable(self) -> bool:
        """Whether there is a checkpoint to go on from, or all of a model that is only to be registered."""
        return self.find_fitted() is not None or self.has_checkpoint()

    def keep(self, fitted: Fitted) -> Fitted:
        """Copy what training left into the folder, where it outlives this process; the checkpoints are then done with."""
        with building(self.path / "fitted") as work:
            shutil.copytree(fitted.folder, work / "model")
            if fitted.extras:
                shutil.copytree(fitted.extras, work / "extras")
            write_json(work / _FITTED, {"name": fitted.name, "figures": dict(fitted.figures)})
        shutil.rmtree(self.checkpoints, ignore_errors=True)
        return self.find_fitted() or fitted

    def find_fitted(self) -> Fitted | None:
        """What training left, where it had ended."""
        folder = self.path / "fitted"
        if not (folder / _FITTED).is_file():
            return None
        fields, extras = read_json(folder / _FITTED, "train anew, and remove the folder"), folder / "extras"
        return Fitted(folder / "model", extras if extras.is_dir() else None, fields["name"], fields["figures"])


def append_line(path: Path, fields: Mapping[str, Any]) -> None:
    """Add one JSON object as a line. What a killed process has cut before it stays a line of its own."""
    with path.open("a+b") as file:
        if file.tell() and not _ends_well(path):
            file.write(b"\n")
        file.write(json.dumps(fields).encode() + b"\n")


def _ends_well(path: Path) -> bool:
    with path.open("rb") as file:
        file.seek(-1, 2)
        return file.read(1) == b"\n"


def read_lines(path: Path) -> list[dict[str, Any]]:
    """The JSON objects of a file of lines; none where it is not there. Lines that are no such object are left out."""
    rows = list[dict[str, Any]]()
    if path.is_file():
        for line in path.read_bytes().splitlines():
            try:
                fields = json.loads(line)
            except ValueError:
                continue
            if isinstance(fields, dict):
                rows.append(fields)
    return rows
