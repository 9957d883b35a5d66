"""What runs in a worker of Ray: the trainer's child process, as on any machine. Only train and val travel to it.

Lines are those of `pipelines.training.child`, and `{"line": "attempt"}` before each attempt: a task whose worker is lost runs
again from its beginning.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from pipelines.data.dataset import DataSet, open_dataset
from pipelines.job.launch import LocalLaunch
from pipelines.job.trainers import TrainerConfig
from pipelines.training.launchers.archives import Archive, pack_folder, unpack
from pipelines.training.launchers.local import LocalTrainer
from pipelines.training.launchers.pod_agent import DATA
from pipelines.training.trainers.contract import Choice, Fitted, Watch
from registry.digests import sha256_bytes
from registry.errors import ModelyardError

_SCRATCH = "modelyard-ray-"
Tell = Callable[[str], None]
"""Takes one line."""


@dataclass(frozen=True, slots=True)
class Shipment:
    """A data set's train and val on their way to a worker, as one archive."""

    content: bytes
    sha256: str
    name: str

    @classmethod
    def of(cls, archive: Archive, name: str) -> Shipment:
        """What an archive's file holds."""
        return cls(archive.path.read_bytes(), archive.sha256, name)

    def unpacked(self, folder: Path) -> DataSet:
        """The data set, below a folder of the worker."""
        path = folder / "data.tar"
        path.write_bytes(self.content)
        unpack(Archive(path, self.sha256, len(self.content)), folder / "data")
        path.unlink()
        data = open_dataset(folder / "data")
        return DataSet(data.folder, data.manifest, self.name)


@contextmanager
def scratch() -> Generator[Path]:
    """A folder for the block, beside which those of workers that were killed are removed: they could not do so themselves."""
    root = Path(tempfile.gettempdir())
    for path in root.glob(f"{_SCRATCH}*-*"):
        owner = path.name.removeprefix(_SCRATCH).partition("-")[0]
        if owner.isdecimal() and not psutil.pid_exists(int(owner)):
            shutil.rmtree(path, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix=f"{_SCRATCH}{os.getpid()}-") as name:
        yield Path(name)


def fit_here(config: TrainerConfig, launch: LocalLaunch, tf_python: Path, data: DataSet, work: Path, watch: Watch) -> Fitted:
    """Train in a child process of this worker."""
    work.mkdir(parents=True, exist_ok=True)
    return LocalTrainer(config, launch, tf_python).fit(data, work, watch)


def train_task(job: Mapping[str, Any], shipment: Shipment, tell: Tell) -> tuple[bytes, dict[str, Any]] | None:
    """One training: its lines as they come; then the model's files as an archive, and what names them.

    None where it failed: the last line says why.
    """
    from pydantic import TypeAdapter

    launch = LocalLaunch.model_validate(job["launch"])
    tell(json.dumps({"line": "attempt"}))
    with scratch() as folder:
        config: TrainerConfig = TypeAdapter(TrainerConfig).validate_python(_settled(job["trainer"], folder))
        try:
            fitted = fit_here(
                config, launch, Path(job["tf_python"]), shipment.unpacked(folder), folder / "work", lines_to(tell)
            )
        except ModelyardError as error:
            problem = [error.subject, error.expectation, error.remedy]
            tell(json.dumps({"line": "failed", "kind": type(error).__name__, "problem": problem}))
            return None
        parts = [path for path in (fitted.folder, fitted.extras) if path]
        into = folder / "work" / "trained"
        archive = pack_folder(folder / "model.tar", into, parts)
        names = [str(path.relative_to(into)) if path else None for path in (fitted.folder, fitted.extras)]
        fields = {"folder": names[0], "extras": names[1], "name": fitted.name, "figures": dict(fitted.figures)}
        return archive.path.read_bytes(), {"line": "fitted", **fields}


def _settled(trainer: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """A trainer's config, with a file of weights where it was unpacked."""
    weights = str(trainer.get("weights") or "")
    return (
        {**trainer, "weights": str(folder / "data" / weights.removeprefix(DATA))} if weights.startswith(DATA) else dict(trainer)
    )


def lines_to(tell: Tell) -> Watch:
    """A watch that passes everything on as lines."""

    def choose(choices: Mapping[str, Choice]) -> None:
        tell(json.dumps({"line": "choose", "choices": dict(choices)}))

    def on_epoch(epoch: int, metrics: Mapping[str, float]) -> None:
        tell(json.dumps({"line": "epoch", "epoch": epoch, "metrics": dict(metrics)}))

    return Watch(
        on_epoch=on_epoch,
        say=lambda text: tell(json.dumps({"line": "say", "text": text})),
        choose=choose,
        epochs=lambda number: tell(json.dumps({"line": "epochs", "epochs": number})),
    )


def received(content: bytes, into: Path) -> None:
    """Write a model that came from a worker below `into`, once its files were looked at for what does harm."""
    from registry.errors import IntegrityError
    from validation.scan import scan_folder

    path = into.parent / "model.tar"
    path.write_bytes(content)
    unpack(Archive(path, sha256_bytes(content), len(content)), into)
    path.unlink()
    if dangerous := scan_folder(into).dangerous:
        raise IntegrityError(
            dangerous[0], "came from a Ray worker and holds a pickle that does harm", "do not use that cluster"
        )
