"""A world in which another decision happens at the n-th moment of a first one, where no lease keeps it out."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from registry.errors import ModelyardError
from registry.events import AnyEvent
from registry.lease import Lease
from registry.memory import MemoryStore
from registry.promotion.context import PromotionContext
from registry.protocols import Entry, Ledger
from registry.records import Actor, Evidence, Finding, ModelVersion
from registry.stages import ALIASES

ADA, EVE = Actor("ada"), Actor("eve")


class Passes:
    """A gate that lets everything pass."""

    def judge(self, evidence: Evidence) -> list[Finding]:
        return [Finding(gate="passes", passed=True, text="fine")]


@dataclass
class Moments:
    """Counts the moments at which others may act, and lets them act once."""

    at: int
    other: Callable[[], object]
    held: set[str] = field(default_factory=set)
    seen: int = 0
    busy: bool = False

    def pass_by(self) -> None:
        if self.busy or self.held:
            return
        self.seen += 1
        if self.seen == self.at:
            self.busy = True
            try:
                self.other()
            finally:
                self.busy = False


@dataclass
class WatchedLeases:
    """Leases of one process; before each one is got, others may act."""

    moments: Moments

    @contextmanager
    def hold(self, model: str, *, wait: bool = True) -> Generator[Lease]:
        self.moments.pass_by()
        assert model not in self.moments.held, "a process that waits for itself waits forever"
        self.moments.held.add(model)
        try:
            yield Lease()
        finally:
            self.moments.held.discard(model)
        self.moments.pass_by()


class WatchedStore(MemoryStore):
    """A registry whose bytes take time: nobody may wait for them with a decision's lease in hand."""

    moments: Moments

    def fetch(self, version: ModelVersion, into: Path) -> Path:
        assert not [name for name in self.moments.held if name.endswith("/alias")], "bytes are fetched within the lease"
        self.moments.pass_by()
        folder = super().fetch(version, into)
        self.moments.pass_by()
        return folder

    def is_prompt(self, model: str) -> bool:
        return False


@dataclass
class WatchedLedger:
    """A ledger; after each look without a lease, others may act."""

    inner: Ledger
    moments: Moments

    @property
    def signer(self) -> str:
        return self.inner.signer

    def entries(self, model: str | None = None, after: int = 0) -> Sequence[Entry]:
        rows = self.inner.entries(model, after)
        self.moments.pass_by()
        return rows

    def append(self, event: AnyEvent) -> Entry:
        return self.inner.append(event)

    def append_all(self, events: Sequence[AnyEvent]) -> Sequence[Entry]:
        return self.inner.append_all(events)

    def verify(self) -> int:
        return self.inner.verify()


def make_world(folder: Path, ledger: Ledger, versions: int = 3) -> tuple[PromotionContext, Moments]:
    """`hand` with versions in a context that is watched; nobody acts until `moments` is told who and when."""
    moments = Moments(0, lambda: None)
    store = WatchedStore()
    store.moments = moments
    files = folder / "files"
    if not files.exists():
        files.mkdir()
        (files / "weights").write_text("1")
    for _ in range(versions):
        store.register("hand", files)
    gates = dict.fromkeys(ALIASES, (Passes(),))
    return PromotionContext(store, WatchedLedger(ledger, moments), WatchedLeases(moments), gates, revert=True), moments


def trying(action: Callable[[], object]) -> Exception | None:
    """Do something that may be refused; the refusal."""
    try:
        action()
    except ModelyardError as error:
        return error
    except Exception as error:
        if type(error).__name__ == "MlflowException":
            return error
        raise
    return None
