"""Budgets: what a model may spend in a month. At a share of it everybody is warned; at all of it nothing new is started."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Literal

from pipelines.policy import current_policy
from registry.accounts import spending, spent_in
from registry.errors import InputError, RefusedError
from registry.events import now
from registry.records import Record
from registry.spending import BudgetOverridden

if TYPE_CHECKING:
    from pipelines.jobfile import Budget
    from pipelines.wiring import Say
    from registry.protocols import Entry, Ledger
    from registry.records import Actor


class BudgetStanding(Record):
    """A model's month. `limit_usd` is None where no budget is set."""

    model: str
    month: str
    spent_usd: Decimal
    limit_usd: Decimal | None
    state: Literal["none", "ok", "warn", "over", "overridden"]
    overridden: str = ""

    def __str__(self) -> str:
        if self.limit_usd is None:
            return f"{self.model} spent ${self.spent_usd:.2f} in {self.month}; it has no budget"
        told = f"{self.model} spent ${self.spent_usd:.2f} of ${self.limit_usd:.2f} in {self.month}"
        return f"{told} ({self.overridden})" if self.overridden else told


def standing_of(entries: Sequence[Entry], model: str, at: datetime, budget: Budget | None = None) -> BudgetStanding:
    """Where a model stands; by its policy in the ledger, unless a budget is given."""
    policy = current_policy(entries) if budget is None else None
    limit = budget or (policy.budget if policy else None)
    month = f"{at:%Y-%m}"
    spent = spent_in(spending(entries, at), model, month)
    told = {"model": model, "month": month, "spent_usd": spent}
    if limit is None:
        return BudgetStanding(**told, limit_usd=None, state="none")
    overrides = [
        one.event
        for one in entries
        if isinstance(one.event, BudgetOverridden) and one.flaw is None and (one.event.model, one.event.month) == (model, month)
    ]
    told["limit_usd"] = limit.usd_per_month
    if spent < limit.usd_per_month:
        state = "warn" if spent >= limit.usd_per_month * Decimal(str(limit.warn_at)) else "ok"
        return BudgetStanding(**told, state=state)
    if overrides:
        return BudgetStanding(**told, state="overridden", overridden=f"overridden by {overrides[-1].actor}")
    return BudgetStanding(**told, state="over")


def hold_budget(entries: Sequence[Entry], model: str, say: Say, budget: Budget | None = None) -> None:
    """Warn of a budget that is nearly spent. Raises RefusedError for one that is spent and that nobody overrode."""
    found = standing_of(entries, model, now(), budget)
    if found.state == "over":
        remedy = f"raise `budget` in the job, or run `modelyard budget override {model} --reason …`"
        raise RefusedError(
            f"budget of {model}", f"is spent: ${found.spent_usd:.2f} of ${found.limit_usd:.2f} in {found.month}", remedy
        )
    if found.state in {"warn", "overridden"}:
        say(f"budget: {found}")


def override(ledger: Ledger, model: str, reason: str, actor: Actor) -> BudgetOverridden:
    """Let a model spend more than its budget until the month ends, and record who said so. Raises InputError without cause."""
    if not reason.strip():
        raise InputError("--reason", "is empty", "say why, for whoever reads the ledger")
    found = standing_of(ledger.entries(model), model, now())
    if found.limit_usd is None:
        raise InputError(f"budget of {model}", "is not set", "write `budget: {usd_per_month: 20}` into its job file")
    event = BudgetOverridden(
        model=model,
        month=found.month,
        spent_usd=found.spent_usd,
        limit_usd=found.limit_usd,
        reason=reason.strip(),
        actor=actor.name,
        proven=actor.proven,
    )
    ledger.append(event)
    return event
