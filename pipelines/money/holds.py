"""What a start holds of its budgets until it is booked: looked at and taken under one lock, so no two starts take the same."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING
from uuid import uuid4

from pipelines.money.budgets import check_start, standings
from registry.errors import ModelyardError
from registry.events import now
from registry.reports.budgets import live_holds
from registry.spending import BudgetHeld, BudgetStatus

if TYPE_CHECKING:
    from pipelines.job.jobfile import Budget
    from registry.protocols import Leases, Ledger

LOCK = "budgets:all"
"""What the lease is called: no model is called so."""
_LEAST_HELD_S = 3600.0
_PATIENCE = 4
"""A hold ends by itself after so many times what was quoted, and not before an hour is over."""


@dataclass(frozen=True)
class Start:
    """What somebody is about to start for a model. `usd` is the most that it is quoted at, and `seconds` it takes, if known.

    `unknown_usd` is held where it is not. `process` tells whether the holder still lives.
    """

    model: str
    person: str
    usd: Decimal | None
    unknown_usd: Decimal
    seconds: float = 0.0
    process: str = ""


class Hold:
    """What is held by a start. One without budgets holds nothing."""

    def __init__(self, ledger: Ledger, row: BudgetHeld | None) -> None:
        """`row` is in the ledger already."""
        self._ledger, self._row = ledger, row

    def lower(self, usd: Decimal) -> None:
        """Hold less, because a part of it is booked; never more."""
        if self._row and usd < self._row.usd:
            self._row = self._row.model_copy(update={"usd": usd})
            self._ledger.append(self._row)


@contextmanager
def holding(
    ledger: Ledger, leases: Leases, start: Start, budget: Budget | None = None, at: Callable[[], datetime] = now
) -> Generator[Hold]:
    """Hold a start's money within the block. Raises RefusedError where a budget does not have it any more."""
    hold = Hold(ledger, None)
    if standings(ledger.entries(), start.model, start.person, at(), budget):
        with leases.hold(LOCK) as lease:
            statuses = standings(ledger.entries(), start.model, start.person, at(), budget)
            check_start(statuses, start.usd)
            row = _row(start, statuses, at())
            lease.check()
            ledger.append(row)
            hold = Hold(ledger, row)
    try:
        yield hold
    finally:
        with suppress(ModelyardError, OSError):  # what went wrong first is raised; a hold ends by itself
            hold.lower(Decimal(0))


def release_ended(ledger: Ledger, has_ended: Callable[[str], bool], at: Callable[[], datetime] = now) -> list[BudgetHeld]:
    """Release what is held by processes that are gone; what was released."""
    gone = [hold for hold in live_holds(ledger.entries(), at()) if hold.process and has_ended(hold.process)]
    for hold in gone:
        ledger.append(hold.model_copy(update={"usd": Decimal(0)}))
    return gone


def _row(start: Start, statuses: list[BudgetStatus], at: datetime) -> BudgetHeld:
    """What is held: what was quoted, else what is assumed, though no more than is left."""
    bounding = [status for status in statuses if not status.overridden]
    left = [status.limit_usd - status.spent_usd - status.held_usd for status in bounding if status.limit_usd is not None]
    usd = start.unknown_usd if start.usd is None else start.usd
    until = at + timedelta(seconds=max(_LEAST_HELD_S, _PATIENCE * start.seconds))
    fields = {"model": start.model, "hold": uuid4().hex[:12], "person": start.person, "process": start.process}
    return BudgetHeld.model_validate(fields | {"usd": max(Decimal(0), min([usd, *left])), "until": until})
