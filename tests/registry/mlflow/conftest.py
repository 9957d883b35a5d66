"""MLflow's own stores on one SQLite file, in this process."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from mlflow.entities import Metric, Param, RunStatus, RunTag
from mlflow.entities.model_registry import ModelVersionTag, RegisteredModelTag
from mlflow.store.model_registry.sqlalchemy_store import SqlAlchemyStore as Versions
from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore as Runs

from registry.events import Flipped, Promoted
from registry.memory import MemoryLedger
from registry.mlflow.server.admission import Admission
from registry.mlflow.server.guard import guard
from registry.mlflow.server.store import InsideStore
from registry.records import Actor
from registry.stages import Stage

PROMPT = ("mlflow.prompt.is_prompt", "true")
_numbers = count(1)


class Stores:
    """A registry and a tracking store, as a server's process has them."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "artifacts"
        self.uri = f"sqlite:///{folder / 'mlflow.db'}"
        self.runs = Runs(self.uri, str(self.root))
        self.versions = Versions(self.uri)

    def name(self, start: str = "hand", end: str = "") -> str:
        """A name that no other test uses."""
        return f"{start}{next(_numbers)}{end}"

    def model(self, name: str, versions: int = 1) -> str:
        """A model with versions whose files are nowhere."""
        self.versions.create_registered_model(name)
        for _ in range(versions):
            self.versions.create_model_version(name, source=f"{self.root}/nothing")
        return name

    def call_prompt(self, name: str, *numbers: int) -> None:
        """Mark a model, and some of its versions, as prompts: past admission, straight in the store."""
        self.versions.set_registered_model_tag(name, RegisteredModelTag(*PROMPT))
        for number in numbers:
            self.versions.set_model_version_tag(name, str(number), ModelVersionTag(*PROMPT))

    def run(self) -> str:
        """A run that ended, with a metric, a parameter and a tag."""
        run = self.runs.create_run("0", "ada", 1, [], "trained").info.run_id
        self.runs.log_batch(
            run, [Metric("top1", 0.9, 1, 0), Metric("odd", float("nan"), 1, 0)], [Param("lr", "0.1")], [RunTag("mine", "x")]
        )
        self.runs.update_run_info(run, RunStatus.FINISHED, 2, None)
        return run

    def promoted(self, source: str, run_id: str = "", name: str = "", stage: Stage = Stage.PRODUCTION) -> tuple[str, Admission]:
        """A model whose version 1 is promoted, and the admission that knows it."""
        name = name or self.model(self.name(), versions=0)
        version = self.versions.create_model_version(name, source=source, run_id=run_id or None)
        ledger = MemoryLedger()
        key = {"model": name, "version": 1, "created_ms": version.creation_timestamp, "digest": "d" * 64}
        ledger.append(Promoted(**key, stage=stage, previous=None, actor="ada", findings=[]))
        ledger.append(Flipped(**key, stage=stage, previous=None, actor="ada"))
        inside = InsideStore(self.versions, self.runs)
        return name, Admission(inside, ledger, lambda _: pytest.fail("nothing is judged here"), lambda: Actor("eve"))


@contextmanager
def unguarded(*objects: Any) -> Iterator[None]:
    """Take the guards from MLflow's objects again."""
    before = [(held, dict(vars(held))) for held in objects]
    try:
        yield
    finally:
        for held, values in before:
            vars(held).clear()
            vars(held).update(values)


@pytest.fixture
def guarding(stores: Stores) -> Iterator[Callable[[Admission], None]]:
    """Guard the stores for one test."""
    with unguarded(stores.runs, stores.versions):
        yield lambda admission: guard(admission, stores.versions, stores.runs, None)


@pytest.fixture(scope="session")
def stores(tmp_path_factory: pytest.TempPathFactory) -> Stores:
    return Stores(tmp_path_factory.mktemp("mlflow"))


@pytest.fixture(autouse=True)
def _own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """MLflow's client on a database keeps artifacts below the folder that it runs in."""
    monkeypatch.chdir(tmp_path)
