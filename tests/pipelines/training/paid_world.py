"""A training every call of which can be made to fail."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from pipelines.training import interrupted
from pipelines.training.train import Training, train
from pipelines.training.trainers.contract import Fitted, Watch
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
    """An MLflow run that registers in the memory store."""

    run_id = "r1"

    def __init__(self, store: MemoryStore) -> None:
        self._store = store

    def metrics(self, *_: object) -> None:
        return

    params = tags = figure = folder = dataset = epoch = flush = rename = metrics

    def model(self, folder: Path, _: str, model: str) -> int:
        return self._store.register(model, folder, self.run_id).version


class World:
    """A training in a home, every way out of it watched. A trainer takes two minutes on its clock."""

    def __init__(self, tmp_path: Path, dataset: object, faults: Faults, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now, self.ledger, self.faults, self.trained = 1000.0, MemoryLedger(), faults, False
        self.underway, self._folder = tmp_path / "underway", tmp_path / "model"
        self._folder.mkdir(parents=True)
        (self._folder / "weights").write_text("1")
        store = MemoryStore()
        self._run, self._store = Watched(Run(store), faults), Watched(store, faults)
        verdict = DataVerdict(dataset="x", holds=True, errors=0, warnings=0)
        self._training = Training(self, Record(), "torch", dataset, "hand", PRICE, Actor("ada"), verdict, self.underway)
        monkeypatch.setattr(interrupted, "monotonic", lambda: self.now)
        monkeypatch.setattr(interrupted, "write_json", lambda *values: faults.call("note", write_json, *values))

    def fit(self, _data: object, _work: Path, watch: Watch) -> Fitted:
        self.trained, self.now = True, self.now + SECONDS
        watch.on_epoch(1, {"train_loss": 1.0})
        return Fitted(self._folder, self._folder)

    def named(self, *_: object, **__: object) -> dict[str, dict[str, str]]:
        return {}

    @contextmanager
    def run(self, *_: object) -> Iterator[Watched]:
        self.faults.call("run starts", lambda: None)
        yield self._run
        self.faults.call("run ends", lambda: None)

    def train(self) -> Trained:
        def say(*_: object) -> None:
            self.faults.call("say", lambda: None)

        return train(self._store, Watched(self.ledger, self.faults), self, self._training, Watch(say, say), say)
