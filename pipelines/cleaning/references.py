"""What of a home is referred to: by the ledger, by MLflow, by endpoints and by processes that run now.

In doubt a thing is referred to. A row that is flawed refers as any other does; without an MLflow server to ask, every version
that the ledger names is taken to exist.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from registry.errors import DamagedFileError, NotFoundError, RefusedError
from registry.events import CanaryStarted, Deployed, Evaluated, Event, Exported, Trained
from registry.files import REMEDY, read_json
from registry.promotion.state import fold
from registry.protocols import Entry, Versions
from registry.reports.attention import by_model
from registry.settings import Settings

Identity = tuple[str, int, int]
"""Model, number and time of creation."""


@dataclass(frozen=True, slots=True)
class References:
    """Bundles by their folders' names, data sets by their digests.

    `trained` are the data sets of which the ledger says what was made of them; of others only their notes know. `models` are
    those that MLflow has, None where it cannot be asked.
    """

    bundles: frozenset[str]
    datasets: frozenset[str]
    trained: frozenset[str]
    models: frozenset[str] | None


def read_references(settings: Settings, rows: Sequence[Entry], store: Versions | None) -> References:
    """Everything that is referred to now. Raises RefusedError for a ledger that knows of nothing."""
    if not rows:
        raise RefusedError("ledger", "has no rows, so nothing says what is in use", "name the home with --home")
    existing = None if store is None else _existing(store)
    held = {(model, *holder.identity) for model, mine in by_model(rows).items() for holder in fold(mine).holders.values()}
    alive = [row.event for row in rows if isinstance(row.event, Event) and _is_alive(row.event, existing, held)]
    return References(
        bundles=frozenset({*_bundles(alive), *_served(settings)}),
        datasets=frozenset({*_datasets(alive), *_trained_on_now(settings)}),
        trained=frozenset(row.event.dataset for row in rows if isinstance(row.event, Trained)),
        models=None if existing is None else frozenset(model for model, _, _ in existing),
    )


def _is_alive(event: Event, existing: set[Identity] | None, held: set[Identity]) -> bool:
    """Whether an event's version is in MLflow, or holds a stage."""
    identity = (event.model, *event.identity)
    return existing is None or identity in existing or identity in held


def _existing(store: Versions) -> set[Identity]:
    versions = set[Identity]()
    for model in store.models():
        try:
            versions |= {(model, version.version, version.created_ms) for version in store.versions(model)}
        except NotFoundError:  # deleted meanwhile
            continue
    return versions


def _bundles(events: Sequence[Event]) -> set[str]:
    """Each version's last export, and whatever was ever deployed."""
    exports = [event for event in events if isinstance(event, Exported)]
    deployed = {event.bundle for event in events if isinstance(event, (Deployed, CanaryStarted))}
    last = {(event.model, *event.identity, event.digest): event.path for event in exports}
    served = {event.path for event in exports if event.bundle in deployed}
    return {Path(path).name for path in {*last.values(), *served}}


def _served(settings: Settings) -> set[str]:
    """What endpoints of this machine serve, served before or start with, and what running programs were started with."""
    names = set[str]()
    for record in settings.deployments.glob("*.json"):
        names.add(Path(_field(record, "source") or "-").name)
    bundles = str(settings.bundles.absolute())
    for process in psutil.process_iter(["cmdline"]):
        names |= {Path(word).name for word in process.info["cmdline"] or () if word.startswith(bundles)}
    return names


def _datasets(events: Sequence[Event]) -> set[str]:
    trained = {event.dataset for event in events if isinstance(event, Trained)}
    return trained | {event.evaluation.dataset for event in events if isinstance(event, Evaluated)}


def _trained_on_now(settings: Settings) -> set[str]:
    """The data sets of runs that train, were killed and are not booked yet, or can be resumed."""
    notes = (*settings.underway.glob("*.json"), *settings.trainings.glob("*/training.json"))
    return {_field(note, "dataset") for note in notes}


def _field(path: Path, name: str) -> str:
    """A text that a state file names. Raises DamagedFileError: what cannot be read may refer to anything."""
    match read_json(path):
        case {**fields}:
            return str(fields.get(name) or "")
        case _:
            raise DamagedFileError(path, "is damaged: it is no record of ours", REMEDY)
