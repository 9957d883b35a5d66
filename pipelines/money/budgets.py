"""Budgets: what a model may spend in a month. At a share of it everybody is warned; at all of it nothing new is started."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from registry.amounts import format_usd
from registry.errors import InputError, RefusedError
from registry.events import now
from registry.reports.accounts import budget_status, limits
from registry.spending import BudgetOverridden, BudgetStatus, Limit

if TYPE_CHECKING:
    from pipelines.home import Say
    from pipelines.job.jobfile import Budget
    from registry.protocols import Entry, Ledger
    from registry.records import Actor

__all__ = ["BudgetStatus", "hold_budget", "override", "standing_of"]


def standing_of(entries: Sequence[Entry], model: str, at: datetime, budget: Budget | None = None) -> BudgetStatus:
    """Where a model stands; by its policy in the ledger, unless a budget is given."""
    limit = Limit(usd_per_month=budget.usd_per_month, warn_at=budget.warn_at) if budget else limits(entries).get(model)
    return budget_status(entries, model, at, limit)


def hold_budget(entries: Sequence[Entry], model: str, say: Say, budget: Budget | None = None) -> None:
    """Warn of a budget that is nearly spent. Raises RefusedError for one that is spent and was not overridden."""
    status = standing_of(entries, model, now(), budget)
    if status.state == "over" and status.limit_usd is not None:
        remedy = f"raise `budget` in the job, or run `modelyard budget override {model} --reason …`"
        raise RefusedError(
            f"budget of {model}",
            f"is spent: {format_usd(status.spent_usd)} of {format_usd(status.limit_usd)} in {status.month}",
            remedy,
        )
    if status.state in {"warn", "overridden"}:
        say(f"budget: {status}")


def override(ledger: Ledger, model: str, reason: str, actor: Actor) -> BudgetOverridden:
    """Let a model spend more than its budget until the month ends, and record who said so. Raises InputError without cause."""
    if not reason.strip():
        raise InputError("--reason", "is empty", "say why, for whoever reads the ledger")
    status = standing_of(ledger.entries(), model, now())
    if status.limit_usd is None:
        raise InputError(f"budget of {model}", "is not set", "write `budget: {usd_per_month: 20}` into its job file")
    event = BudgetOverridden(
        model=model,
        month=status.month,
        spent_usd=status.spent_usd,
        limit_usd=status.limit_usd,
        reason=reason.strip(),
        actor=actor.name,
        proven=actor.proven,
    )
    ledger.append(event)
    return event
