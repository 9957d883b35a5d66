"""What tests of promotion share: a gate, hooks, and a promotion context in memory with two versions of `hand`."""

from pathlib import Path

from registry.errors import ModelyardError, StorageError
from registry.events import Promoted
from registry.lease import FileLeases
from registry.memory import MemoryLedger, MemoryStore
from registry.promotion.context import PromotionContext
from registry.protocols import Hook
from registry.records import Actor, Evidence, Finding
from registry.stages import Stage

ADA = Actor("ada", proven=True)


class Says:
    """A gate that gives the same verdict each time and remembers what it was shown."""

    def __init__(self, *, passed: bool) -> None:
        self.passed, self.seen = passed, list[Evidence]()

    def judge(self, evidence: Evidence) -> list[Finding]:
        self.seen.append(evidence)
        return [Finding(gate="says", passed=self.passed, text="as told")]


class Fails:
    """A hook that fails a number of times, then works."""

    name = "fails"

    def __init__(self, times: int, error: type[ModelyardError] = StorageError) -> None:
        self.times, self.ran, self.error = times, 0, error

    def run(self, promotion: Promoted) -> None:
        self.ran += 1
        if self.ran <= self.times:
            raise self.error("disk", "is full", "free some space")


class Breaks(Fails):
    """A hook that works, and whose result can be broken."""

    name = "breaks"
    alive = True

    def healthy(self, promotion: Promoted) -> bool:
        return self.alive


def make_context(tmp_path: Path, model: Path, gate: Says, *hooks: Hook) -> PromotionContext:
    store = MemoryStore()
    store.register("hand", model)
    store.register("hand", model)
    gates = dict.fromkeys((Stage.STAGING, Stage.PRODUCTION), (gate,))
    return PromotionContext(store, MemoryLedger(), FileLeases(tmp_path / "leases"), gates, {Stage.STAGING: hooks})


def kinds(context: PromotionContext) -> list[str]:
    return [entry.event.kind for entry in context.ledger.entries()]
