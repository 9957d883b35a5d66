"""Notices: promotions, refusals, and budgets that run out. Folded from the ledger; nothing is sent here."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Literal

from pipelines.money.budgets import BudgetStatus, standing_of
from registry.events import AnyEvent, Blocked, BudgetOverridden, CanaryEnded, Lost, PolicySet, Promoted, Refused
from registry.protocols import Entry
from registry.records import Record

Kind = Literal["promotion", "refusal", "budget", "drift", "test"]
_LOUD = {"warn", "over"}


class Notice(Record):
    """One notice. `id` stays the same however often it is sent, so that a receiver can tell."""

    id: str
    kind: Kind
    at: datetime
    model: str
    version: int | None = None
    stage: str | None = None
    text: str
    remedy: str | None = None


def notice_of(entry: Entry) -> Notice | None:
    """The notice of a ledger row; None for the many that need none, and for rows that do not count."""
    event, kind = entry.event, _kind(entry.event)
    if kind is None or entry.flaw is not None:
        return None
    remedy = f"modelyard gates {event.model}/{event.version} {event.stage}" if isinstance(event, Refused) else None
    return Notice(
        id=f"row-{entry.seq}-{entry.at:%Y%m%dT%H%M%S%f}",
        kind=kind,
        at=entry.at,
        model=event.model,
        version=event.version or None,
        stage=str(stage) if (stage := getattr(event, "stage", None)) else None,
        text=str(event),
        remedy=remedy,
    )


def _kind(event: AnyEvent) -> Kind | None:
    if isinstance(event, (Promoted, CanaryEnded)):
        return "promotion" if isinstance(event, Promoted) or event.outcome == "promoted" else "refusal"
    if isinstance(event, (Refused, Blocked, Lost)):
        return "refusal"
    return "budget" if isinstance(event, BudgetOverridden) else None


def budget_notices(entries: Sequence[Entry], at: datetime, known: dict[str, str]) -> list[Notice]:
    """Budgets that came to their warning, or to their end, since `known` was brought up to date by this call before."""
    notices = list[Notice]()
    for model in _with_budgets(entries):
        status = standing_of(entries, model, at)
        mark = f"{status.month} {status.state}"
        before, known[model] = known.get(model), mark
        if status.state in _LOUD and before != mark:
            notices.append(_budget_notice(status, at))
    return notices


def _with_budgets(entries: Iterable[Entry]) -> list[str]:
    return sorted(
        {
            entry.event.model
            for entry in entries
            if isinstance(entry.event, PolicySet) and entry.event.job.get("budget") and entry.flaw is None
        }
    )


def _budget_notice(status: BudgetStatus, at: datetime) -> Notice:
    over = status.state == "over"
    return Notice(
        id=f"budget-{status.model}-{status.month}-{status.state}",
        kind="budget",
        at=at,
        model=status.model,
        text=f"{status}: {'nothing new is started' if over else 'nearly spent'}",
        remedy=f"modelyard budget override {status.model} --reason …" if over else f"modelyard budget show {status.model}",
    )
