"""Who decided what, when, and on what evidence: the ledger's decisions as lines."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
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
    EndpointDeleted,
    EndpointStopped,
    Flipped,
    Lost,
    PolicyApproved,
    PolicySet,
    Promoted,
    Published,
    Refused,
    Regained,
    Released,
    Undone,
    named,
)
from registry.promotion.policy import fold_policies_by_model
from registry.protocols import Entry
from registry.records import Record

_DECISIONS = (
    *(PolicySet, PolicyApproved, BudgetOverridden, Approved, Refused, Promoted, Flipped, Undone, Archived, Released, Lost),
    *(Regained, Blocked, Deployed, CanaryStarted, CanaryEnded, EndpointStopped, EndpointDeleted),
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
    changes: tuple[str, ...] = ()


def history(entries: Sequence[Entry], model: str) -> list[Moment]:
    """Every decision about a model, oldest first. `entries` are its rows. Raises NotFoundError where there are none."""
    if not entries:
        raise NotFoundError(f"model '{model}'", "is not in the ledger", "see `modelyard status` for the models that are")
    return decisions(entries)


def decisions(entries: Iterable[Entry]) -> list[Moment]:
    """Every decision about any number of models, in the order of the rows."""
    rows = list(entries)
    runs = {row.event.row: row.event.run_id for row in rows if isinstance(row.event, Published) and row.flaw is None}
    ignored = {seq: why for state in fold_policies_by_model(rows).values() for seq, why in state.ignored.items()}
    return [_moment(row, runs, row.flaw or ignored.get(row.seq)) for row in rows if isinstance(row.event, _DECISIONS)]


def subject_of(event: AnyEvent) -> str:
    """The version that an event is about, or the model."""
    return f"{event.model}/{event.version}" if event.version else event.model


def _moment(entry: Entry, runs: dict[int, str], why_not: str | None) -> Moment:
    event = entry.event
    previous = getattr(event, "previous", None)
    return Moment(
        row=entry.seq,
        at=entry.at,
        who=_who(event),
        what="rolled_back" if isinstance(event, Promoted) and event.again else event.kind,
        ref=subject_of(event),
        stage=getattr(event, "stage", None),
        was=f"{event.model}/{previous}" if previous else None,
        evidence=_evidence(event, runs.get(entry.seq)),
        counts=why_not is None,
        text=str(event) if why_not is None else f"does not count: {why_not}",
        changes=tuple(event.changes) if isinstance(event, PolicySet) else (),
    )


def _who(event: AnyEvent) -> str:
    actor = getattr(event, "actor", None)
    if actor is None:
        return "modelyard"
    return named(actor, proven=getattr(event, "proven", False))


def _evidence(event: AnyEvent, run_id: str | None) -> str | None:
    """Where the findings are: how many passed, and the run that shows them."""
    if not isinstance(event, (Promoted, Refused)):
        return None
    if isinstance(event, Promoted) and event.again:
        return f"row {event.again}"
    passed = sum(finding.passed for finding in event.findings)
    return f"{passed} of {len(event.findings)} passed" + (f", run {run_id}" if run_id else "")
