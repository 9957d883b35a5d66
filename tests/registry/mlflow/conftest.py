"""MLflow's own stores on one SQLite file, in this process."""

from __future__ import annotations

from itertools import count
from pathlib import Path

import pytest
from mlflow.entities.model_registry import ModelVersionTag, RegisteredModelTag
from mlflow.store.model_registry.sqlalchemy_store import SqlAlchemyStore as Versions
from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore as Runs

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


@pytest.fixture(scope="session")
def stores(tmp_path_factory: pytest.TempPathFactory) -> Stores:
    return Stores(tmp_path_factory.mktemp("mlflow"))
