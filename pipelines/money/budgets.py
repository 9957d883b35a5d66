"""Budgets: what a model or a person may spend in a month. At a share of it all are warned; at all of it nothing new starts."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from shlex import quote
from typing import TYPE_CHECKING

from registry.amounts import format_usd
from registry.errors import InputError, RefusedError
from registry.events import now
from registry.reports.accounts import limits
from registry.reports.budgets import model_standing, person_standing
from registry.spending import BudgetOverridden, BudgetStatus, Limit, PersonBudgetOverridden, PersonBudgetSet

if TYPE_CHECKING:
    from pipelines.home import Say
    from pipelines.job.jobfile import Budget
    from registry.protocols import Entry, Ledger
    from registry.records import Actor

__all__ = ["BudgetStatus", "hold_budget", "override", "standing_of"]
_NO_REASON = ("--reason", "is empty", "say why, for whoever reads the ledger")


def standing_of(entries: Sequence[Entry], model: str, at: datetime, budget: Budget | None = None) -> BudgetStatus:
    """Where a model stands; by its policy in the ledger, unless a budget is given."""
    limit = Limit(usd_per_month=budget.usd_per_month, warn_at=budget.warn_at) if budget else limits(entries).get(model)
    return model_standing(entries, model, at, limit)


def standings(
    entries: Sequence[Entry], model: str, person: str, at: datetime, budget: Budget | None = None
) -> list[BudgetStatus]:
    """Every budget that a start of a person's for a model is held to. `person` is "" where nobody's budget counts."""
    statuses = [standing_of(entries, model, at, budget)]
    if person:
        statuses.append(person_standing(entries, person, at))
    return [status for status in statuses if status.limit_usd is not None]


def hold_budget(entries: Sequence[Entry], model: str, say: Say, budget: Budget | None = None, person: str = "") -> None:
    """Warn of a budget that is nearly spent. Raises RefusedError for one that is spent and was not overridden."""
    for status in standings(entries, model, person, now(), budget):
        if status.state == "over" and status.limit_usd is not None:
            spent = f"{format_usd(status.spent_usd)} of {format_usd(status.limit_usd)} in {status.month}"
            raise RefusedError(f"budget of {status.whose}", f"is spent: {spent}", _remedy(status))
        if status.state in {"warn", "overridden"}:
            say(f"budget: {status}")


def check_start(statuses: Sequence[BudgetStatus], usd: Decimal | None) -> None:
    """Raise RefusedError where a start does not fit into a budget beside what is spent and held.

    `usd` is the most that it is quoted at, None where that is not known: then it fits while anything is left.
    """
    for status in statuses:
        if status.limit_usd is None or status.overridden:
            continue
        taken = status.spent_usd + status.held_usd
        if taken < status.limit_usd and taken + (usd or 0) <= status.limit_usd:
            continue
        held = f", {format_usd(status.held_usd)} is held by trainings that run" if status.held_usd else ""
        quoted = f", and this is quoted at up to {format_usd(usd)}" if usd is not None else ", and this is not quoted yet"
        spent = f"{format_usd(status.spent_usd)} of {format_usd(status.limit_usd)} is spent in {status.month}"
        waits = "wait for them, " if status.held_usd else ""
        raise RefusedError(f"budget of {status.whose}", f"{spent}{held}{quoted}", waits + _remedy(status))


def override(ledger: Ledger, model: str, reason: str, actor: Actor) -> BudgetOverridden:
    """Let a model spend more than its budget until the month ends, and record who said so. Raises InputError without cause."""
    status = standing_of(ledger.entries(), model, now())
    if status.limit_usd is None and reason.strip():
        raise InputError(f"budget of {model}", "is not set", "write `budget: {usd_per_month: 20}` into its job file")
    event = BudgetOverridden.model_validate({"model": model} | _overridden(status, reason, actor))
    ledger.append(event)
    return event


def override_person(ledger: Ledger, person: str, reason: str, actor: Actor) -> PersonBudgetOverridden:
    """The same for a person."""
    status = person_standing(ledger.entries(), person, now())
    if status.limit_usd is None and reason.strip():
        remedy = f"set it with `modelyard budget person {quote(person)} --usd-per-month 20`"
        raise InputError(f"budget of {person}", "is not set", remedy)
    event = PersonBudgetOverridden.model_validate({"model": "", "person": person} | _overridden(status, reason, actor))
    ledger.append(event)
    return event


def set_person_budget(
    ledger: Ledger, person: str, usd_per_month: Decimal | None, actor: Actor, warn_at: float = 0.8
) -> PersonBudgetSet:
    """What a person may spend from now on; None ends their budget. Raises InputError for no name, and for no amount."""
    if not person.strip():
        raise InputError("PERSON", "is empty", "name somebody as `modelyard costs --by person` does")
    if usd_per_month is not None and not (usd_per_month.is_finite() and usd_per_month > 0):
        raise InputError("--usd-per-month", f"{usd_per_month} is no amount", "give more than 0, or --none")
    event = PersonBudgetSet(
        model="",
        person=person.strip(),
        usd_per_month=usd_per_month,
        warn_at=warn_at,
        actor=actor.name,
        proven=actor.proven,
    )
    ledger.append(event)
    return event


def _overridden(status: BudgetStatus, reason: str, actor: Actor) -> dict[str, object]:
    """What an override records. Raises InputError without a reason."""
    if not reason.strip():
        raise InputError(*_NO_REASON)
    amounts = {"month": status.month, "spent_usd": status.spent_usd, "limit_usd": status.limit_usd}
    return amounts | {"reason": reason.strip(), "actor": actor.name, "proven": actor.proven}


def _remedy(status: BudgetStatus) -> str:
    """How the money is had after all."""
    if status.person:
        name = quote(status.person)
        raised = f"raise it with `modelyard budget person {name} --usd-per-month …`"
        return f"{raised}, or run `modelyard budget override --person {name} --reason …`"
    return f"raise `budget` in the job, or run `modelyard budget override {quote(status.model)} --reason …`"
