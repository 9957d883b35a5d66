"""The parts that promotion works with, and the two leases that keep processes apart."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field

from registry.events import HookFailed, PolicySet, Promoted
from registry.promotion.policy import JudgingPolicy
from registry.protocols import Entry, Gate, Hook, Lease, Leases, Ledger, Store
from registry.records import ModelVersion
from registry.stages import Stage

Measure = Callable[[ModelVersion, Stage], None]
"""Measures what a stage's gates will ask for and the ledger does not know yet."""


def _nothing(_version: ModelVersion, _stage: Stage) -> None:
    """Prepare nothing."""


@dataclass(frozen=True)
class ImpatientLeases:
    """Leases that are never waited for: whoever looks after many models goes on to the next."""

    leases: Leases

    def hold(self, model: str, *, wait: bool = True) -> AbstractContextManager[Lease]:  # noqa: ARG002 the contract's
        """Hold the model's lease within the block, or raise BusyError."""
        return self.leases.hold(model, wait=False)


@dataclass(frozen=True)
class PromotionContext:
    """The parts that promotion works with; `assemble.py` makes them.

    `revert`: put an unproven alias back. `policy`: what the gates were made from, None where that is not known.
    """

    store: Store
    ledger: Ledger
    leases: Leases
    gates: Mapping[Stage, Sequence[Gate]] = field(default_factory=dict[Stage, Sequence[Gate]])
    hooks: Mapping[Stage, Sequence[Hook]] = field(default_factory=dict[Stage, Sequence[Hook]])
    measure: Measure = _nothing
    revert: bool = False
    policy: JudgingPolicy | None = None

    def deciding(self, model: str, *, wait: bool = True) -> AbstractContextManager[Lease]:
        """The short lease around a decision and its alias; held for as long as two requests take, so it is waited for."""
        return decision_lease(self.leases, model, wait=wait)

    def working(self, model: str, *, wait: bool = True) -> AbstractContextManager[Lease]:
        """The long lease around hooks. A decision never waits for it: going back is possible while an export runs."""
        return self.leases.hold(model, wait=wait)


def decision_lease(leases: Leases, model: str, *, wait: bool = True) -> AbstractContextManager[Lease]:
    """The lease around any decision about a model: its stages, and its policy."""
    return leases.hold(f"{model}/alias", wait=wait)


@dataclass(frozen=True)
class Outcome:
    """A promotion that happened, and the hooks that still have to succeed. `policy`: what became the policy with it.

    `judged` is the row of the verdict that a rollback returns to.
    """

    promotion: Promoted
    pending: list[HookFailed]
    policy: PolicySet | None = None
    judged: Entry | None = None
