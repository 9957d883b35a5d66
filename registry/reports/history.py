"""What was in a stage, since when, by whom, and on what evidence: the ledger, told by model."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from registry.errors import NotFoundError
from registry.events import (
    AnyEvent,
    Approved,
    Archived,
    Blocked,
    BudgetOverridden,
    CanaryEnded,
    CanaryStarted,
    Deployed,
    Flipped,
    Lost,
    PolicySet,
    Promoted,
    Published,
    Refused,
    Released,
    Undone,
    named,
)
from registry.protocols import Entry
from registry.records import Record

_TOLD = (
    *(PolicySet, BudgetOverridden, Approved, Refused, Promoted, Flipped, Undone, Archived, Released, Lost, Blocked, Deployed),
    *(CanaryStarted, CanaryEnded),
)


class Moment(Record):
    """One line of a model's history."""

    row: int
    at: datetime
    who: str
    what: str
    ref: str
    stage: str | None
    was: str | None
    evidence: str | None
    counts: bool
    text: str


def history(entries: Sequence[Entry], model: str) -> list[Moment]:
    """Every decision about a model, oldest first. `entries` are its rows; no server is asked."""
    if not entries:
        raise NotFoundError(f"model '{model}'", "the ledger knows nothing of it", "see `modelyard status` for what it knows")
    runs = {entry.event.row: entry.event.run_id for entry in entries if isinstance(entry.event, Published)}
    return [_moment(entry, runs) for entry in entries if isinstance(entry.event, _TOLD)]


def _moment(entry: Entry, runs: dict[int, str]) -> Moment:
    event = entry.event
    previous = getattr(event, "previous", None)
    return Moment(
        row=entry.seq,
        at=entry.at,
        who=_who(event),
        what="rolled_back" if isinstance(event, Promoted) and event.again else event.kind,
        ref=f"{event.model}/{event.version}" if event.version else event.model,
        stage=getattr(event, "stage", None),
        was=f"{event.model}/{previous}" if previous else None,
        evidence=_evidence(event, runs.get(entry.seq)),
        counts=entry.flaw is None,
        text=str(event) if entry.flaw is None else f"does not count: {entry.flaw}",
    )


def _who(event: AnyEvent) -> str:
    actor = getattr(event, "actor", None)
    if actor is None:
        return "modelyard"
    return named(actor, proven=getattr(event, "proven", False))


def _evidence(event: AnyEvent, run_id: str | None) -> str | None:
    """Where the findings are: how many held, and the run that shows them."""
    if not isinstance(event, (Promoted, Refused)):
        return None
    if isinstance(event, Promoted) and event.again:
        return f"row {event.again}"
    passed = sum(finding.passed for finding in event.findings)
    return f"{passed} of {len(event.findings)} hold" + (f", run {run_id}" if run_id else "")
