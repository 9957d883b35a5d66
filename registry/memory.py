"""The in-memory store and ledger: real implementations that pass the same contract tests as the others."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from itertools import count
from pathlib import Path
from threading import Lock

from registry.errors import IntegrityError, NotFoundError
from registry.events import AnyEvent, now
from registry.records import ModelVersion, Snapshot


@dataclass
class MemoryStore:
    """A model registry in a dict. `register` stands in for logging a model."""

    _models: dict[str, list[ModelVersion]] = field(default_factory=dict[str, list[ModelVersion]])
    _aliases: dict[str, dict[str, int]] = field(default_factory=dict[str, dict[str, int]])
    _descriptions: dict[tuple[str, int | None], str] = field(default_factory=dict[tuple[str, int | None], str])
    _notes: dict[str, str] = field(default_factory=dict[str, str])
    _clock: count[int] = field(default_factory=lambda: count(1))

    def register(self, model: str, folder: Path, run_id: str = "") -> ModelVersion:
        """Add a version whose files are a folder's."""
        mine = self._models.setdefault(model, [])
        number = max((version.version for version in mine), default=0) + 1
        made = ModelVersion(model, number, next(self._clock), str(folder), run_id)
        mine.append(made)
        return made

    def delete_model(self, model: str) -> None:
        """Remove a model with its versions and aliases."""
        self._models.pop(model, None)
        self._aliases.pop(model, None)

    def models(self) -> list[str]:
        """Every model's name, sorted."""
        return sorted(self._models)

    def versions(self, model: str) -> list[ModelVersion]:
        """A model's versions, oldest first."""
        if model not in self._models:
            raise NotFoundError(f"model '{model}'", "is not registered", "see `modelyard status` for those that are")
        return list(self._models[model])

    def aliases(self, model: str) -> dict[str, int]:
        """Alias → version."""
        self.versions(model)
        return dict(self._aliases.get(model, {}))

    def unready(self, version: ModelVersion) -> str | None:
        """A version here is always whole, unless it says otherwise."""
        return None if version.status == "READY" else f"its status is {version.status}"

    def snapshot(self) -> dict[str, Snapshot]:
        """Every model's aliases."""
        return {
            model: Snapshot(dict(self._aliases.get(model, {})), {version.version: version.created_ms for version in mine})
            for model, mine in self._models.items()
        }

    def set_alias(self, model: str, alias: str, version: int) -> None:
        """Point an alias at a version."""
        if version not in {known.version for known in self.versions(model)}:
            raise NotFoundError(f"{model}/{version}", "does not exist", "see `modelyard status` for those that do")
        self._aliases.setdefault(model, {})[alias] = version

    def delete_alias(self, model: str, alias: str) -> None:
        """Remove an alias, if it is there."""
        self._aliases.get(model, {}).pop(alias, None)

    def fetch(self, version: ModelVersion, into: Path) -> Path:
        """Copy a version's files."""
        if not version.source or not Path(version.source).is_dir():
            raise IntegrityError(version.ref, "its files are gone", "register the model again")
        return Path(shutil.copytree(version.source, into / "model", dirs_exist_ok=True))

    def annotate(self, version: ModelVersion, tags: dict[str, str]) -> None:
        """Set tags on a version."""
        mine = self._models[version.model]
        at = next(index for index, known in enumerate(mine) if known.version == version.version)
        old = mine[at]
        mine[at] = replace(old, tags={key: value for key, value in {**old.tags, **tags}.items() if value})

    def description(self, model: str, version: int | None = None) -> str:
        """A version's description, or the model's."""
        return self._descriptions.get((model, version), "")

    def describe(self, model: str, text: str, version: int | None = None) -> None:
        """Replace a description."""
        self._descriptions[model, version] = text

    def run_tags(self, run_id: str) -> dict[str, str]:
        """There are no runs here: what they are called, and the text that was written about each."""
        note = self._notes.get(run_id)
        return {"mlflow.runName": run_id} | ({"mlflow.note.content": note} if note else {})

    def run_files(self, run_id: str, folder: str) -> list[str]:  # noqa: ARG002 the contract's
        """There are no runs here, so none has files."""
        return []

    def note_run(self, run_id: str, text: str) -> None:
        """Replace the text on a run's page."""
        self._notes[run_id] = text


@dataclass(frozen=True, slots=True)
class MemoryEntry:
    """One row."""

    seq: int
    at: datetime
    event: AnyEvent
    flaw: str | None = None
    signer: str = ""


@dataclass
class MemoryLedger:
    """A ledger in a list."""

    _rows: list[MemoryEntry] = field(default_factory=list[MemoryEntry])
    signer: str = ""
    _lock: Lock = field(default_factory=Lock, repr=False, compare=False)

    def append(self, event: AnyEvent) -> MemoryEntry:
        """Add an event at the end."""
        return self.append_all([event])[0]

    def append_all(self, events: Sequence[AnyEvent]) -> list[MemoryEntry]:
        """Add events at the end."""
        with self._lock:
            rows = [
                MemoryEntry(number, now(), event, signer=self.signer)
                for number, event in enumerate(events, len(self._rows) + 1)
            ]
            self._rows.extend(rows)
            return rows

    def entries(self, model: str | None = None, after: int = 0) -> Sequence[MemoryEntry]:
        """Rows in order."""
        return [row for row in self._rows[after:] if model is None or row.event.model == model]

    def verify(self) -> int:
        """Nothing outside this process can touch the list, so all rows hold."""
        return len(self._rows)
