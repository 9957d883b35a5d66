"""A training every call of which can be made to fail."""

from __future__ import annotations

import copy
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from pipelines.training import interrupted, spool
from pipelines.training import train as training_module
from pipelines.training.interrupted import book_interrupted, earlier_part
from pipelines.training.resume import check_resumable, find_training, upload_pending
from pipelines.training.train import train
from pipelines.training.trainers.contract import Fitted, Watch
from pipelines.training.training import Kept, Training
from registry.events import Trained
from registry.files import write_json
from registry.memory import MemoryLedger, MemoryStore
from registry.money.prices import local_price
from registry.records import Actor, DataVerdict, Record
from registry.settings import Settings

SECONDS = 120.0
PRICE = local_price(Settings())


class Faults:
    """Raises at the n-th call of all that it watches, before or after the call."""

    def __init__(self, at: int, error: BaseException, *, after: bool) -> None:
        self.at, self.error, self.after, self.calls = at, error, after, list[str]()
        self.look: Callable[[str], None] = lambda _: None

    def call(self, name: str, function: Callable[..., Any], *values: Any) -> Any:
        self.calls.append(name)
        mine = len(self.calls) == self.at
        self.look(f"before {name}")
        if mine and not self.after:
            raise self.error
        answer = function(*values)
        self.look(f"after {name}")
        if mine:
            raise self.error
        return answer


class Watched:
    """Every method of an object, through the faults."""

    def __init__(self, target: object, faults: Faults) -> None:
        self._target, self._faults = target, faults

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._target, name)
        if not callable(value):
            return value
        return lambda *values: self._faults.call(f"{type(self._target).__name__}.{name}", value, *values)


class Run:
    """An MLflow run that registers in the memory store, and keeps what is logged."""

    run_id, ended = "r1", False

    def __init__(self, store: MemoryStore) -> None:
        self._store, self.status = store, "RUNNING"
        self.kept_params, self.kept_points = dict[str, object](), set[tuple[str, float, int, int]]()
        self.kept_files = set[str]()

    def params(self, values: dict[str, object]) -> None:
        self.kept_params |= values

    def points(self, values: list[tuple[str, float, int, int]]) -> None:
        self.kept_points |= set(values)

    def file(self, path: Path, artifact_path: str) -> None:
        assert path.is_file()
        self.kept_files.add(f"{artifact_path}/{path.name}")

    def folder(self, folder: Path, artifact_path: str) -> None:
        assert folder.is_dir()
        self.kept_files.add(artifact_path)

    def ignore(self, *_: object) -> None:
        return

    tags = dataset = figure = rename = ignore

    def model(self, folder: Path, _: str, model: str, __: str = "classify") -> int:
        return self._store.register(model, folder, self.run_id).version

    def epochs(self) -> list[int]:
        """The steps at which a loss was logged, each as often as it was."""
        return sorted(step for name, _, _, step in self.kept_points if name == "train_loss")


class Figure:
    """A picture that is drawn at once."""

    def savefig(self, path: Path) -> None:
        path.write_bytes(b"png")


class World:
    """A training in a home, every way out of it watched. A trainer takes two minutes on its clock, in two epochs."""

    def __init__(
        self,
        tmp_path: Path,
        dataset: Any,
        faults: Faults,
        monkeypatch: pytest.MonkeyPatch,
        before: World | None = None,
    ) -> None:
        """`before`: what a process before has left is all there is, and the run goes on."""
        self.now, self.faults, self.trained = 1000.0, faults, 0.0
        self.ledger = MemoryLedger(list(before.ledger._rows) if before else [])
        self.home, self._folder = tmp_path / "home", tmp_path / "model"
        self.underway, self.trainings = self.home / "underway", self.home / "trainings"
        if before and before.home.exists():
            shutil.copytree(before.home, self.home)
        self._folder.mkdir(parents=True)
        (self._folder / "weights").write_text("1")
        self.store = copy.deepcopy(before.store) if before else MemoryStore()
        if not before:
            self.store.register("hand", self._folder, "r0")
        self.mlflow = copy.deepcopy(before.mlflow) if before else Run(self.store)
        self.mlflow._store = self.store
        self._run, self._store = Watched(self.mlflow, faults), Watched(self.store, faults)
        self._data, self.lines = dataset, list[str]()
        monkeypatch.setattr(interrupted, "monotonic", lambda: self.now)
        monkeypatch.setattr(interrupted, "write_json", lambda *values: faults.call("note", write_json, *values))
        monkeypatch.setattr(spool, "IN_A_THREAD", False)
        monkeypatch.setattr(spool, "sleep", lambda _: None)
        monkeypatch.setattr(training_module, "curves_figure", lambda _: Figure())

    def training(self, **kept: Any) -> Training:
        verdict = DataVerdict(dataset="x", holds=True, errors=0, warnings=0)
        where = Kept(self.underway, self.trainings, patience=30.0, **kept)
        return Training(self, Record(), "torch", self._data, "hand", PRICE, Actor("ada"), verdict, where)

    def fit(self, _data: object, _work: Path, watch: Watch) -> Fitted:
        """Two epochs; after each it can go on with the next."""
        assert watch.checkpoints is not None
        checkpoint = watch.checkpoints / "epoch"
        for epoch in range(int(checkpoint.read_text()) + 1 if checkpoint.exists() else 1, 3):
            self.trained, self.now = self.trained + SECONDS / 2, self.now + SECONDS / 2
            watch.on_epoch(epoch, {"train_loss": 1.0 / epoch})
            self.faults.call("checkpoint", checkpoint.write_text, str(epoch))
        return Fitted(self._folder, self._folder)

    @contextmanager
    def _opened(self) -> Iterator[Watched]:
        self.faults.call("run starts", lambda: None)
        self.mlflow.status, self.mlflow.ended = "RUNNING", False
        try:
            yield self._run
        except BaseException:
            self.mlflow.status, self.mlflow.ended = "FAILED", True
            raise
        self.faults.call("run ends", lambda: None)
        self.mlflow.status, self.mlflow.ended = "FINISHED", True

    def run(self, *_: object) -> Any:
        return self._opened()

    def named(self, *_: object, **__: object) -> dict[str, dict[str, str]]:
        return {}

    def reopen(self, run_id: str) -> Any:
        assert run_id == "r1"
        return self._opened()

    @contextmanager
    def resume(self, _: str) -> Iterator[Run]:
        yield self.mlflow

    def end(self, _: str, status: str) -> None:
        self.mlflow.status = status

    def train(self) -> Trained:
        return self._train(self.training())

    def go_on(self) -> Trained:
        """What `modelyard train --resume` does, once the process before is gone."""
        book_interrupted(self.underway, self.ledger)
        folder = find_training(self.trainings, "r1", self.ledger)
        check_resumable(folder, folder.record, "hand")
        earlier = earlier_part(self.ledger, "hand", "r1")
        return self._train(self.training(resumes=folder, earlier=earlier))

    def upload(self) -> list[str]:
        """What the next command does first."""
        return upload_pending(self.trainings, self.ledger, lambda _: self, lambda: self._store, self.lines.append)

    def _train(self, training: Training) -> Trained:
        def say(*line: object) -> None:
            self.faults.call("say", self.lines.append, " ".join(map(str, line)))

        return train(self._store, Watched(self.ledger, self.faults), self, training, Watch(say, say), say)
