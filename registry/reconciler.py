"""The reconciler: makes what serves follow from what was ratified, again and again.

Level-triggered: a pass looks at every alias as it is now and asks the ledger what was ratified. It keeps
no state of its own, so a lost event, a crash or a restart costs nothing but the time to the next pass.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from registry.errors import IntegrityError, NotFoundError
from registry.events import Blocked, HookDone, HookFailed, Promoted, about, now
from registry.promotion import BLOCKED_TAG, Yard, digest_version, done, run_hooks
from registry.protocols import Checkable, Entry
from registry.records import ModelVersion
from registry.stages import ALIASES, Stage

_LONGEST_WAIT = timedelta(minutes=10)


@dataclass(frozen=True)
class Pass:
    """What one pass did: sentences for people, counts for machines."""

    models: int
    aliases: int
    acted: list[str]


def reconcile(yard: Yard, model: str) -> Pass:
    """Look at one model's aliases once."""
    acted: list[str] = []
    with yard.leases.hold(model):
        held = yard.store.aliases(model)
        stages = [stage for stage in ALIASES if stage.value in held]
        for stage in stages:
            acted += _settle(yard, model, stage, held[stage.value])
    return Pass(1, len(stages), acted)


def ratified(entries: Sequence[Entry], version: ModelVersion, stage: Stage) -> Promoted | None:
    """The latest promotion that ratified this very version for the stage."""
    key = (version.version, version.created_ms, stage)
    for entry in reversed(entries):
        event = entry.event
        if isinstance(event, Promoted) and (event.version, event.created_ms, event.stage) == key:
            return event
    return None


def _settle(yard: Yard, model: str, stage: Stage, number: int) -> list[str]:
    """Bring one alias to its end: blocked, retried, healed, or left alone."""
    entries = yard.ledger.entries(model)
    version = next((known for known in yard.store.versions(model) if known.version == number), None)
    if version is None:
        return []
    promotion = ratified(entries, version, stage)
    if promotion is None:
        return _block(yard, version, stage, "no promotion ratified it; run `modelyard promote`")
    if not _due(yard, entries, promotion):
        return []
    try:
        digest = digest_version(yard.store, version)
    except (IntegrityError, NotFoundError) as error:
        return _block(yard, version, stage, str(error))
    if digest != promotion.digest:
        return _block(yard, version, stage, "its files changed after it was ratified; promote it again")
    failed = run_hooks(yard, promotion)
    names = ", ".join(hook.name for hook in yard.hooks.get(stage, ()))
    return [str(failure) for failure in failed] or [f"{names} of {version.ref} for {stage} brought up to date"]


def _block(yard: Yard, version: ModelVersion, stage: Stage, reason: str) -> list[str]:
    """Record, once per reason, that an alias is not served."""
    fresh = Blocked(**about(version, ""), stage=stage, reason=reason)
    if any(entry.event == fresh for entry in yard.ledger.entries(version.model)):
        return []
    yard.ledger.append(fresh)
    yard.store.annotate(version, {BLOCKED_TAG: reason})
    return [str(fresh)]


def _due(yard: Yard, entries: Sequence[Entry], promotion: Promoted) -> bool:
    """Whether a hook has to run now: never finished and its wait is over, or finished and since broken."""
    for hook in yard.hooks.get(promotion.stage, ()):
        if not done(entries, promotion, hook.name):
            return _wait_is_over(entries, promotion, hook.name)
        if isinstance(hook, Checkable) and not hook.healthy(promotion):
            return _wait_is_over(entries, promotion, hook.name)
    return False


def _wait_is_over(entries: Sequence[Entry], promotion: Promoted, hook: str, at: datetime | None = None) -> bool:
    """Two seconds after the first failure, then twice as long each time, up to ten minutes."""
    key = (hook, promotion.stage, promotion.version, promotion.created_ms)
    for entry in reversed(entries):
        event = entry.event
        if event == promotion:
            return True
        if isinstance(event, (HookDone, HookFailed)) and (event.hook, event.stage, event.version, event.created_ms) == key:
            if isinstance(event, HookDone):
                return True
            wait = min(timedelta(seconds=2.0 ** min(event.attempt, 12)), _LONGEST_WAIT)
            return (at or now()) - entry.at >= wait
    return True
