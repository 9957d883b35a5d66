"""What is registered, where it stands, what serves it, and what is pending."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from pipelines.deployment.outages import read_outages
from pipelines.queries.waiting import Waiting, waiting
from registry.events import Blocked, Evaluated, HookDone, HookFailed, Promoted, Refused, Trained, now
from registry.promotion.state import PromotionState, done, fold, sound
from registry.protocols import Entry, Ledger, Store
from registry.records import ModelVersion, Record
from registry.reports.accuracy import own_evaluation
from registry.reports.attention import by_model
from registry.reports.endpoints import existing_endpoints
from registry.stages import ALIASES, Stage

if TYPE_CHECKING:
    from pipelines.deployment.targets import Targets
    from serving.targets.contract import Target


_TELLING = (Blocked, Evaluated, HookDone, HookFailed, Promoted, Refused, Trained)


class Row(Record):
    """One version. `waits`: what is tried again later for it, why, and when. A classifier has top-1, a detector mAP50-95."""

    ref: str
    stage: Stage
    trainer: str | None
    top1: float | None
    endpoint: str | None
    note: str | None
    waits: tuple[Waiting, ...] = ()
    map50_95: float | None = None


def status(store: Store, ledger: Ledger, targets: Targets) -> list[Row]:
    """Every version of every model, newest first within its model; then those that hold a stage and are gone."""
    addresses, at = _addresses(ledger, targets.local()), now()
    outages = read_outages(targets.settings.outages, at)
    rows: list[Row] = []
    for model in store.models():
        entries, aliases = ledger.entries(model), store.aliases(model)
        state = fold(entries)
        for version in reversed(store.versions(model)):
            stage = _stage(state, aliases, version)
            row = _row(version, stage, state, sound(mine(entries, version), *_TELLING), addresses.get((model, version.version)))
            rows.append(row.model_copy(update={"waits": tuple(waiting(entries, state, version.identity, outages, at))}))
    for model, entries in by_model(ledger.entries()).items():
        for stage, event in fold(entries).lost.items():
            endpoint = addresses.get((model, event.version))
            rows.append(Row(ref=event.label, stage=stage, trainer=None, top1=None, endpoint=endpoint, note=str(event)))
    return rows


def _addresses(ledger: Ledger, local: Target) -> dict[tuple[str, int], str]:
    """Version → where it answers: on this machine what answers now, in clouds what exists by the ledger."""
    addresses = {(live.model, live.version): live.url for live in local.list() if local.answers(live)}
    clouds = [span.event for span in existing_endpoints(ledger.entries()) if span.event.target != "local"]
    clouds.sort(key=lambda event: not getattr(event, "endpoint", ""))  # a stage's own endpoint before one of another name
    return addresses | {(event.model, event.version): event.url for event in clouds}


def _stage(state: PromotionState, aliases: Mapping[str, int], version: ModelVersion) -> Stage:
    """The highest stage whose alias a version holds, rightly or not; else what was decided of it."""
    held = [stage for stage in reversed(ALIASES) if aliases.get(stage.value) == version.version]
    decided = state.stage_of(version.identity)
    return held[0] if held else Stage.ARCHIVED if decided in ALIASES else decided


def mine(entries: Sequence[Entry], version: ModelVersion) -> list[Entry]:
    """The ledger's rows about one version."""
    return [entry for entry in entries if (entry.event.version, entry.event.created_ms) == version.identity]


def _row(version: ModelVersion, stage: Stage, state: PromotionState, entries: list[Entry], endpoint: str | None) -> Row:
    trainer = next((entry.event.trainer for entry in reversed(entries) if isinstance(entry.event, Trained)), None)
    scored = own_evaluation(entries, (version.model, *version.identity))
    scores = {scored.headline: scored.score} if scored else {}
    note = _note(version, stage, state, entries)
    row = Row(ref=str(version.ref), stage=stage, trainer=trainer, top1=scores.get("top1"), endpoint=endpoint, note=note)
    return row.model_copy(update={"map50_95": scores.get("map50_95")})


def _note(version: ModelVersion, stage: Stage, state: PromotionState, entries: list[Entry]) -> str | None:
    """What a user should know: why it is not served, what failed, or why it was refused."""
    live = state.holders.get(stage)
    if stage in ALIASES and (live is None or live.identity != version.identity):
        blocked = [entry.event.reason for entry in entries if isinstance(entry.event, Blocked)]
        return f"not served: {blocked[-1] if blocked else 'no promotion ratified it'}"
    for entry in reversed(entries):
        event = entry.event
        if isinstance(event, HookFailed) and live and event.stage is stage and not done(entries, live, event.hook):
            return str(event)
        if isinstance(event, (Refused, Promoted)):
            return str(event) if isinstance(event, Refused) else None
    return None
