"""Budgets of people, and what is held of budgets for what runs: folded from the ledger."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from decimal import Decimal

from registry.money.spans import as_utc
from registry.protocols import Entry
from registry.reports.accounts import Spend, budget_status, spending
from registry.spending import BudgetHeld, BudgetStatus, Limit, PersonBudgetOverridden, PersonBudgetSet

_ZERO = Decimal(0)


def person_limits(entries: Iterable[Entry]) -> dict[str, Limit]:
    """Person → their budget, as it was set last; those without are left out."""
    limits = dict[str, Limit]()
    for entry in entries:
        event = entry.event
        if not isinstance(event, PersonBudgetSet) or entry.flaw is not None:
            continue
        if event.usd_per_month is None:
            limits.pop(event.person, None)
        else:
            limits[event.person] = Limit(usd_per_month=event.usd_per_month, warn_at=event.warn_at)
    return limits


def live_holds(entries: Iterable[Entry], at: datetime) -> list[BudgetHeld]:
    """What is held at a moment. Rows with a flaw hold nothing, and release nothing."""
    last = dict[str, BudgetHeld]()
    for entry in entries:
        if isinstance(entry.event, BudgetHeld) and entry.flaw is None:
            last[entry.event.hold] = entry.event
    return [hold for hold in last.values() if hold.usd and as_utc(hold.until) > at]


def model_standing(entries: Sequence[Entry], model: str, at: datetime, limit: Limit | None) -> BudgetStatus:
    """A model's budget in the month of a moment, with what is held of it."""
    held = sum((hold.usd for hold in live_holds(entries, at) if hold.model == model), _ZERO)
    return budget_status(entries, model, at, limit).model_copy(update={"held_usd": held})


def person_standings(entries: Sequence[Entry], at: datetime, spent: Iterable[Spend] | None = None) -> list[BudgetStatus]:
    """The month of each person who has a budget, by name. `spent` is `spending` up to then, where it is known already."""
    known = list(spending(entries, at) if spent is None else spent)
    return [person_standing(entries, person, at, known) for person in sorted(person_limits(entries))]


def person_standing(entries: Sequence[Entry], person: str, at: datetime, spent: Iterable[Spend] | None = None) -> BudgetStatus:
    """A person's budget in the month of a moment, over all models: their trainings, failed ones too, and what is held.

    `spent` is `spending` up to then, where it is known already.
    """
    month = f"{at:%Y-%m}"
    rows = spending(entries, at) if spent is None else spent
    total = sum((row.usd for row in rows if (row.person, row.month) == (person, month)), _ZERO)
    held = sum((hold.usd for hold in live_holds(entries, at) if hold.person == person), _ZERO)
    override = _override_of(entries, person, month)
    status = BudgetStatus.for_month("", at, total, person_limits(entries).get(person), override)
    return status.model_copy(update={"person": person, "held_usd": held})


def _override_of(entries: Iterable[Entry], person: str, month: str) -> PersonBudgetOverridden | None:
    events = [entry.event for entry in entries if entry.flaw is None]
    mine = [event for event in events if isinstance(event, PersonBudgetOverridden)]
    return next((event for event in reversed(mine) if (event.person, event.month) == (person, month)), None)
