"""What is registered, where it stands, what serves it, and what is pending."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from registry.events import Blocked, Evaluated, HookFailed, Promoted, Refused, Trained
from registry.promotion import done, stage_of
from registry.protocols import Entry
from registry.reconciler import ratified
from registry.records import ModelVersion, Record
from registry.stages import ALIASES, Stage

if TYPE_CHECKING:
    from pipelines.wiring import Workshop


class Row(Record):
    """One version."""

    ref: str
    stage: Stage
    trainer: str | None
    top1: float | None
    endpoint: str | None
    note: str | None


def status(workshop: Workshop) -> list[Row]:
    """Every version of every model, newest first within its model."""
    yard, target = workshop.bare_yard(), workshop.target()
    live = {(one.model, one.version): one.url for one in target.list() if target.answers(one)}
    rows: list[Row] = []
    for model in yard.store.models():
        entries = yard.ledger.entries(model)
        for version in reversed(yard.store.versions(model)):
            stage = stage_of(yard.store, entries, version)
            rows.append(_row(version, stage, mine(entries, version), live.get((model, version.version))))
    return rows


def mine(entries: Sequence[Entry], version: ModelVersion) -> list[Entry]:
    """The ledger's rows about one version."""
    key = (version.version, version.created_ms)
    return [entry for entry in entries if (entry.event.version, entry.event.created_ms) == key]


def _row(version: ModelVersion, stage: Stage, entries: list[Entry], endpoint: str | None) -> Row:
    trainer, top1 = None, None
    for entry in entries:
        if isinstance(entry.event, Trained):
            trainer = entry.event.trainer
        elif isinstance(entry.event, Evaluated) and entry.event.evaluation.split == "test":
            top1 = entry.event.evaluation.metrics["top1"]
    note = _note(version, stage, entries)
    return Row(ref=str(version.ref), stage=stage, trainer=trainer, top1=top1, endpoint=endpoint, note=note)


def _note(version: ModelVersion, stage: Stage, entries: list[Entry]) -> str | None:
    """What somebody should know: why it is not served, what failed, or why it was refused."""
    if stage in ALIASES and ratified(entries, version, stage) is None:
        blocked = [entry.event.reason for entry in entries if isinstance(entry.event, Blocked)]
        return f"not served: {blocked[-1] if blocked else 'no promotion ratified it'}"
    for entry in reversed(entries):
        event = entry.event
        if isinstance(event, HookFailed):
            promotion = ratified(entries, version, event.stage)
            if promotion and event.stage is stage and not done(entries, promotion, event.hook):
                return str(event)
        if isinstance(event, (Refused, Promoted)):
            return str(event) if isinstance(event, Refused) else None
    return None
