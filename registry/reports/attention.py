"""What needs attention: what is pending, blocked, lost or refused, each with the command that fixes it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime
from shlex import quote
from typing import NamedTuple

from registry.events import Archived, Blocked, Flipped, HookFailed, Promoted, Refused, Released
from registry.promotion.state import DECIDING, done, fold, last_end, sound
from registry.protocols import Entry
from registry.refs import endpoint_name
from registry.reports.history import subject_of
from registry.stages import Stage

DEPLOY = "deploy"
"""The hook that deploys a stage's version."""

_COMMAND_BY_GATE = {
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
    "policy": "modelyard policy approve {model}",
}


_SHOWN = (*DECIDING, Blocked, HookFailed, Refused)


class AttentionItem(NamedTuple):
    """Something that needs attention. `grave`: an error, not a warning; `command` fixes it."""

    grave: bool
    at: datetime
    ref: str
    stage: str
    what: str
    command: str


def by_model(entries: Iterable[Entry]) -> dict[str, list[Entry]]:
    """Rows of each model, models by name."""
    rows = defaultdict[str, list[Entry]](list)
    for entry in entries:
        rows[entry.event.model].append(entry)
    return dict(sorted(rows.items()))


def needs_attention(entries: Iterable[Entry]) -> list[AttentionItem]:
    """What is pending, blocked, lost or refused and not fixed since; errors before warnings, then the newest first."""
    models = by_model(sound(entries, *_SHOWN)).values()
    items = [item for rows in models for item in (*_unfinished(rows), *_unproven(rows), *_refused(rows))]
    return sorted(items, key=lambda item: (not item.grave, -item.at.timestamp()))


def failed_deployments(entries: Iterable[Entry]) -> dict[str, str]:
    """Name of a stage's endpoint → why the reconciler could not deploy it last, in clouds too."""
    reasons = dict[str, str]()
    for rows in by_model(sound(entries, *_SHOWN)).values():
        for stage, holder in fold(rows).holders.items():
            end = last_end(rows, holder, DEPLOY)
            if end is not None and isinstance(end[1], HookFailed):
                reasons[endpoint_name(end[1].model, stage)] = end[1].reason
    return reasons


def _unfinished(rows: Sequence[Entry]) -> Iterable[AttentionItem]:
    """Hooks of the stages' holders that failed last, and promotions that never came to their alias."""
    state, failed = fold(rows), dict[tuple[Stage, str], Entry]()
    for row in rows:
        event = row.event
        if isinstance(event, HookFailed):
            holder = state.holders.get(event.stage)
            if holder and holder.identity == event.identity and row.seq > holder.since and not done(rows, holder, event.hook):
                failed[event.stage, event.hook] = row
    for (stage, _), row in failed.items():
        yield AttentionItem(True, row.at, subject_of(row.event), stage.value, str(row.event), "modelyard reconcile")
    for stage, promotion in state.pending.items():
        at = _at(rows, promotion)
        what = "promoted, and its alias has not moved yet"
        yield AttentionItem(True, at, promotion.label, stage.value, what, "modelyard reconcile")


def _unproven(rows: Sequence[Entry]) -> Iterable[AttentionItem]:
    """Aliases on versions that nothing ratified, until something moved the alias since, and versions that are lost."""
    state, blocked = fold(rows), dict[Stage, Entry]()
    for row in rows:
        if isinstance(row.event, Blocked):
            blocked[row.event.stage] = row
        elif isinstance(row.event, (Flipped, Released)):
            blocked.pop(row.event.stage, None)
    for stage, row in blocked.items():
        ref = subject_of(row.event)
        yield AttentionItem(True, row.at, ref, stage.value, str(row.event), f"modelyard promote {quote(ref)} {stage}")
    for stage, event in state.lost.items():
        command = f"modelyard rollback {quote(event.model)} --stage {stage}"
        yield AttentionItem(True, _at(rows, event), event.label, stage.value, str(event), command)


def _refused(rows: Sequence[Entry]) -> Iterable[AttentionItem]:
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
            last = {key: refusal for key, refusal in last.items() if key[1] != event.identity}
    for (stage, identity), row in last.items():
        if identity[0] > newest.get(stage, 0) and isinstance(row.event, Refused):
            why = "; ".join(finding.text for finding in row.event.findings if not finding.passed)
            helps = f"; what would help most: {row.event.advice}" if row.event.advice else ""
            yield AttentionItem(False, row.at, row.event.label, stage.value, f"refused: {why}{helps}", remedy(row.event))


def remedy(refused: Refused) -> str:
    """The command that would fix a refusal, by its first failed gate."""
    gate = next((finding.gate for finding in refused.findings if not finding.passed), "")
    command = _COMMAND_BY_GATE.get(gate, "modelyard gates {ref} {stage}")
    return command.format(ref=quote(refused.label), model=quote(refused.model), stage=refused.stage.value)


def _at(rows: Sequence[Entry], event: object) -> datetime:
    """When an event was recorded last."""
    return next(row.at for row in reversed(rows) if row.event == event)
