"""Decisions as pages show them, without Streamlit: what waits, what was refused and its fix, and what happened."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime
from shlex import quote
from typing import NamedTuple

import pandas as pd

from dashboards.words import shorten
from registry.events import (
    AnyEvent,
    Approved,
    Archived,
    Blocked,
    BudgetOverridden,
    CanaryEnded,
    CanaryStarted,
    Deployed,
    Exported,
    Flipped,
    HookFailed,
    Lost,
    PolicySet,
    Promoted,
    Refused,
    Released,
    Undone,
    named,
)
from registry.promotion.state import done, fold
from registry.protocols import Entry
from registry.stages import Stage

_TOLD = (PolicySet, BudgetOverridden, Approved, Refused, Promoted, Flipped, Undone, Archived, Released, Lost, Blocked, Deployed)
_CANARY = (CanaryStarted, CanaryEnded)
_BY_GATE = {
    "data": "modelyard check",
    "approval": "modelyard approve {ref} --stage {stage}",
    "metric": "modelyard train",
    "champion": "modelyard train",
    "parity": "modelyard export {ref}",
    "latency": "modelyard export {ref}",
    "size": "modelyard export {ref}",
    "card": "modelyard export {ref}",
    "safety": "modelyard verify {ref}",
    "budget": "modelyard costs --by model",
}


class Waiting(NamedTuple):
    """Something that somebody has to do. `command` is what would mend it."""

    grave: bool
    at: datetime
    ref: str
    stage: str
    what: str
    command: str


def by_model(entries: Iterable[Entry]) -> dict[str, list[Entry]]:
    """Rows of each model, models by name."""
    found = defaultdict[str, list[Entry]](list)
    for entry in entries:
        found[entry.event.model].append(entry)
    return dict(sorted(found.items()))


def waiting(entries: Iterable[Entry]) -> list[Waiting]:
    """What is pending, blocked, lost or refused and not mended since; the gravest first, then the newest."""
    found = [one for rows in by_model(entries).values() for one in (*_unfinished(rows), *_unproven(rows), *_refused(rows))]
    return sorted(found, key=lambda one: (not one.grave, -one.at.timestamp()))


def _unfinished(rows: Sequence[Entry]) -> Iterable[Waiting]:
    """Hooks of what serves that failed last, and promotions that never came to their alias."""
    state, failed = fold(rows), dict[tuple[Stage, str], Entry]()
    for row in rows:
        event = row.event
        if isinstance(event, HookFailed):
            live = state.holders.get(event.stage)
            if live and live.identity == event.identity and row.seq > live.since and not done(rows, live, event.hook):
                failed[event.stage, event.hook] = row
    for (stage, _), row in failed.items():
        yield Waiting(True, row.at, _ref(row.event), stage.value, str(row.event), "modelyard reconcile")
    for stage, promotion in state.pending.items():
        at = next(row.at for row in reversed(rows) if row.event == promotion)
        yield Waiting(
            True, at, promotion.label, stage.value, "promoted, and its alias has not moved yet", "modelyard reconcile"
        )


def _unproven(rows: Sequence[Entry]) -> Iterable[Waiting]:
    """Aliases on versions that nothing ratified, until something moved the alias since, and versions that are lost."""
    state, blocked = fold(rows), dict[Stage, Entry]()
    for row in rows:
        if isinstance(row.event, Blocked):
            blocked[row.event.stage] = row
        elif isinstance(row.event, (Flipped, Released)):
            blocked.pop(row.event.stage, None)
    for stage, row in blocked.items():
        yield Waiting(
            True, row.at, _ref(row.event), stage.value, str(row.event), f"modelyard promote {quote(_ref(row.event))} {stage}"
        )
    for stage, event in state.lost.items():
        at = next(row.at for row in reversed(rows) if row.event == event)
        yield Waiting(
            True, at, event.label, stage.value, str(event), f"modelyard rollback {quote(event.model)} --stage {stage}"
        )


def _refused(rows: Sequence[Entry]) -> Iterable[Waiting]:
    """Versions whose last attempt at a stage was refused; those that gave way to a newer one that passed are history."""
    last, newest = dict[tuple[Stage, tuple[int, int]], Entry](), dict[Stage, int]()
    for row in rows:
        event = row.event
        if isinstance(event, Refused):
            last[event.stage, event.identity] = row
        elif isinstance(event, Promoted):
            last.pop((event.stage, event.identity), None)
            newest[event.stage] = max(event.version, newest.get(event.stage, 0))
        elif isinstance(event, Archived):
            last = {key: one for key, one in last.items() if key[1] != event.identity}
    for (stage, identity), row in last.items():
        if identity[0] > newest.get(stage, 0) and isinstance(row.event, Refused):
            why = "; ".join(finding.text for finding in row.event.findings if not finding.passed)
            yield Waiting(False, row.at, row.event.label, stage.value, f"refused: {why}", remedy(row.event))


def remedy(refused: Refused) -> str:
    """The command that would mend a refusal, by its first failed gate."""
    gate = next((finding.gate for finding in refused.findings if not finding.passed), "")
    command = _BY_GATE.get(gate, "modelyard gates {ref} {stage}")
    return command.format(ref=quote(refused.label), stage=refused.stage.value)


def waiting_table(items: Iterable[Waiting]) -> pd.DataFrame:
    """One row a thing that waits."""
    rows = [(item.at, item.ref, item.stage, shorten(item.what, 300), item.command) for item in items]
    return pd.DataFrame(rows, columns=["since", "version", "stage", "what", "command"])


def moments(entries: Iterable[Entry], since: datetime | None = None) -> pd.DataFrame:
    """Columns when, model, version, stage, what, who, text: every decision, newest first."""
    rows = [
        (
            entry.at,
            shorten(entry.event.model),
            _ref(entry.event),
            str(getattr(entry.event, "stage", "") or ""),
            _word(entry.event),
            _who(entry.event),
            shorten(str(entry.event), 300),
        )
        for entry in entries
        if isinstance(entry.event, (*_TOLD, *_CANARY)) and (since is None or entry.at >= since)
    ]
    return pd.DataFrame(rows[::-1], columns=["when", "model", "version", "stage", "what", "who", "text"])


def parity_table(entries: Iterable[Entry]) -> pd.DataFrame:
    """One row a variant of each version's newest export: what parity measured, and whether it is in the bundle."""
    exports = [entry.event for entry in entries if isinstance(entry.event, Exported)]
    newest = {(event.model, event.identity): event for event in exports}
    rows = [
        (
            event.label,
            figures.variant,
            figures.images,
            figures.top1_agreement,
            figures.max_abs_diff,
            figures.control_agreement,
            "yes" if figures.kept else f"no: {figures.note}" if figures.note else "no",
        )
        for event in reversed(newest.values())
        for figures in event.parity
    ]
    columns = ["version", "variant", "images", "agreement", "max difference", "control agreement", "in bundle"]
    return pd.DataFrame(rows, columns=columns)


def _ref(event: AnyEvent) -> str:
    return f"{event.model}/{event.version}" if event.version else event.model


def _word(event: AnyEvent) -> str:
    if isinstance(event, Promoted) and event.again:
        return "rolled back"
    return event.kind.replace("_", " ")


def _who(event: AnyEvent) -> str:
    actor = getattr(event, "actor", None)
    return "modelyard" if actor is None else named(actor, proven=bool(getattr(event, "proven", False)))
