"""What promotion and the reconciler need from the world, as small protocols."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from pathlib import Path
from typing import Protocol, runtime_checkable

from registry.errors import MissingKeyError
from registry.events import AnyEvent, Promoted
from registry.records import Evidence, Finding, ModelVersion, Snapshot


class Versions(Protocol):
    """Reads a model registry. A name that does not exist raises NotFoundError; a dead server, UnavailableError."""

    def models(self) -> list[str]:
        """Every registered model's name, sorted."""
        ...

    def versions(self, model: str) -> list[ModelVersion]:
        """A model's versions, oldest first."""
        ...

    def aliases(self, model: str) -> dict[str, int]:
        """Alias → version, read from the registry now, never from a cache."""
        ...

    def unready(self, version: ModelVersion) -> str | None:
        """Why a version is not whole (its model still being logged, or failed), or None where it is."""
        ...


class Snapshots(Protocol):
    """Reads a whole registry at once."""

    def snapshot(self) -> dict[str, Snapshot]:
        """Model → what holds its aliases, for every model, in a few requests however many there are."""
        ...


class Aliases(Protocol):
    """Moves aliases. Both calls are idempotent."""

    def set_alias(self, model: str, alias: str, version: int) -> None:
        """Point an alias at a version."""
        ...

    def delete_alias(self, model: str, alias: str) -> None:
        """Remove an alias; removing one that is not there is fine."""
        ...


class VersionFiles(Protocol):
    """A version's bytes and its notes."""

    def fetch(self, version: ModelVersion, into: Path) -> Path:
        """Copy a version's files below `into` and return their folder. Missing bytes raise IntegrityError."""
        ...

    def annotate(self, version: ModelVersion, tags: dict[str, str]) -> None:
        """Set tags on a version, for people to read; an empty text removes one. Nothing of ours ever trusts them."""
        ...


@runtime_checkable
class Descriptions(Protocol):
    """Reads and writes the descriptions that a registry's pages of models, versions and runs show."""

    def description(self, model: str, version: int | None = None) -> str:
        """A version's description, or the model's; "" where there is none."""
        ...

    def describe(self, model: str, text: str, version: int | None = None) -> None:
        """Replace a version's description, or the model's."""
        ...

    def run_tags(self, run_id: str) -> dict[str, str]:
        """The tags of the run that a version came of. Raises NotFoundError where it is gone."""
        ...

    def run_files(self, run_id: str, folder: str) -> list[str]:
        """The paths of a run's files in one of its folders."""
        ...

    def note_run(self, run_id: str, text: str) -> None:
        """Replace the text on a run's page."""
        ...


class Store(Versions, Snapshots, Aliases, VersionFiles, Protocol):
    """A model registry, whole."""


class Entry(Protocol):
    """One row of a ledger."""

    @property
    def seq(self) -> int:
        """Its place, from 1."""
        ...

    @property
    def at(self) -> datetime:
        """When it was appended, in UTC."""
        ...

    @property
    def event(self) -> AnyEvent:
        """What happened."""
        ...

    @property
    def signer(self) -> str:
        """The id of the key that signed it; "" where none did."""
        ...

    @property
    def flaw(self) -> str | None:
        """Why the row does not count (touched, unsigned, signed by a key that is not trusted), or None where it does."""
        ...


class Ledger(Protocol):
    """An append-only record of decisions. Rows are never changed and never removed."""

    @property
    def signer(self) -> str:
        """The id of the key that rows are signed with here; "" where they are not signed."""
        ...

    def append(self, event: AnyEvent) -> Entry:
        """Add an event at the end; it is on disk when this returns."""
        ...

    def append_all(self, events: Sequence[AnyEvent]) -> Sequence[Entry]:
        """Add events at the end, all of them or none."""
        ...

    def entries(self, model: str | None = None, after: int = 0) -> Sequence[Entry]:
        """Rows in order, of one model or of all, that come after a place."""
        ...

    def verify(self) -> int:
        """Walk the chain of hashes; return how many rows hold, or raise IntegrityError naming the first that does not."""
        ...


@runtime_checkable
class Gate(Protocol):
    """Judges evidence. Pure: the same evidence gives the same findings; missing or NaN evidence fails."""

    def judge(self, evidence: Evidence) -> list[Finding]:
        """At least one finding."""
        ...


class Hook(Protocol):
    """Work that a promotion sets off, after the alias moved.

    Idempotent: running it again after success changes nothing, after a crash it finishes or undoes what was
    begun. It raises to be tried again later.
    """

    @property
    def name(self) -> str:
        """What the ledger calls it."""
        ...

    def run(self, promotion: Promoted) -> None:
        """Do the work."""
        ...


@runtime_checkable
class Checkable(Protocol):
    """A hook whose result can break later, such as an endpoint that can die."""

    def healthy(self, promotion: Promoted) -> bool:
        """Whether what the hook made still works; must not take longer than a health check."""
        ...


@runtime_checkable
class NeedsKey(Protocol):
    """A hook that works at a provider. Without its key it is neither run nor checked, and that is no failure of it."""

    def missing_key(self, promotion: Promoted, entries: Sequence[Entry]) -> MissingKeyError | None:
        """The key that is not set in this process; `entries` are the model's rows. Nobody is asked."""
        ...


class Lease(Protocol):
    """A lease that is held."""

    def check(self) -> None:
        """Raise BusyError where it was lost meanwhile. Called right before anything that cannot be taken back."""
        ...


class Leases(Protocol):
    """Keeps two processes from acting on one model at the same time."""

    def hold(self, model: str, *, wait: bool = True) -> AbstractContextManager[Lease]:
        """Hold the model's lease within the block.

        A lease that another process has is waited for, or raises BusyError. A dead holder's lease is free at once, or
        after the lease time where holders may be on other machines.
        """
        ...
