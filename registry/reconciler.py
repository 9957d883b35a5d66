"""The reconciler: makes what serves follow from the aliases, as far as the ledger's evidence allows, again and again.

Level-triggered: a pass looks at every alias as it is now (the wish) and at what was decided (the ledger). It keeps no
state of its own, so a lost event, a crash or a restart costs nothing but the time to the next pass.

    alias on the version that serves      its hooks are brought to their end, and mended where they broke
    alias on another version              a request: judged like any promotion; blocked, with the reason, where it fails
    alias removed, version still there    the stage is released, nothing serves it any more
    version or model gone                 reported as lost; what serves goes on, because its bytes are proven still
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from registry.errors import BusyError, InputError, IntegrityError, NotFoundError, RefusedError
from registry.events import (
    AnyEvent,
    Blocked,
    Flipped,
    Lost,
    Promoted,
    Published,
    Quoted,
    Refused,
    Released,
    Scanned,
    about,
)
from registry.judging import digest_version
from registry.promotion import assess, ratify, ratify_again, record_flip, recover
from registry.protocols import Entry, Held
from registry.records import Actor, ModelVersion
from registry.stages import ALIASES, Stage
from registry.standing import TIDY, Live, done, fold
from registry.steps import run_hooks, run_step, write_tags
from registry.upkeep import due, variant
from registry.yard import Yard

OUTSIDE = Actor("somebody in MLflow")
"""Who moved an alias that no admission plugin saw."""


@dataclass(frozen=True)
class Pass:
    """What one pass did: sentences for people, counts for machines."""

    models: int
    aliases: int
    acted: list[str]


def reconcile(yard: Yard, model: str, *, wait: bool = True) -> Pass:
    """Look at one model closely; somebody else's lease is waited for, or ends it without a word."""
    try:
        with yard.working(model, wait=wait) as held:
            return _settle_all(yard, model, held)
    except BusyError:
        return Pass(1, 0, [])


def _settle_all(yard: Yard, model: str, held: Held) -> Pass:
    try:
        versions = {version.version: version for version in yard.store.versions(model)}
    except NotFoundError:
        return Pass(1, 0, _report_gone(yard, model))
    with yard.deciding(model) as deciding:
        acted = recover(yard, model, deciding)
    entries = yard.ledger.entries(model)
    for live in fold(entries).live.values():
        version = versions.get(live.identity[0])
        if version is not None and version.identity == live.identity and not done(entries, live, TIDY):
            acted += _converge(yard, version, live, held)
    aliases = yard.store.aliases(model)
    acted += [line for alias, number in aliases.items() if variant(alias) for line in _bar(yard, versions, alias, number)]
    for stage in ALIASES:
        acted += _settle(yard, versions, (model, stage), aliases.get(stage.value), held)
    return Pass(1, sum(stage.value in aliases for stage in ALIASES), acted)


def _settle(
    yard: Yard, versions: Mapping[int, ModelVersion], at: tuple[str, Stage], number: int | None, held: Held
) -> list[str]:
    """Bring one stage to its end."""
    stage, entries = at[1], yard.ledger.entries(at[0])
    live = fold(entries).live.get(stage)
    lost = live is not None and _missing(versions, live)
    if live is not None and lost and (number is None or number not in versions):
        return _lose(yard, entries, live, f"{live.promotion.label} was deleted in MLflow, and nobody archived it")
    if number is None:
        return _release(yard, live) if live else []
    version = versions.get(number)
    if version is None:
        return []  # an alias on nothing, which nothing of ours ever stood on
    if live is None or live.identity != version.identity:
        live = _admit(yard, version, stage)
        if isinstance(live, list):
            return live
    elif not due(yard, entries, live) and done(entries, live, TIDY):
        return []
    return _converge(yard, version, live, held)


def _admit(yard: Yard, version: ModelVersion, stage: Stage) -> Live | list[str]:
    """An alias on a version that does not serve yet: judge it like any promotion.

    What was blocked stays so until the ledger knows something new of the model.
    """
    if reason := _still_blocked(yard.ledger.entries(version.model), version, stage):
        return _turn_away(yard, version, stage, reason)
    try:
        again = fold(yard.ledger.entries(version.model)).stands(version, stage) is not None
        if not again:
            yard.prepare(version, stage)
        with yard.deciding(version.model):
            if yard.store.aliases(version.model).get(stage.value) != version.version:
                return []  # moved on while its evidence was gathered
            served = fold(yard.ledger.entries(version.model)).served.get(stage)
            verdict = None if again else assess(yard, version, stage)
            promotion = ratify(yard, verdict, OUTSIDE) if verdict else ratify_again(yard, version, stage, OUTSIDE)
            return record_flip(yard, version, promotion.model_copy(update={"previous": served[-1][0] if served else None}))
    except RefusedError as refused:
        return _turn_away(yard, version, stage, refused.expectation)
    except (IntegrityError, InputError) as error:
        return _turn_away(yard, version, stage, f"{error.expectation}; {error.remedy}")


def _turn_away(yard: Yard, version: ModelVersion, stage: Stage, reason: str) -> list[str]:
    """A request that the gates do not grant: blocked, and put back where the policy says so."""
    said = _block(yard, version, stage, reason)
    return [*said, _put_back(yard, version, stage)] if yard.revert else said


def _still_blocked(entries: Sequence[Entry], version: ModelVersion, stage: Stage) -> str | None:
    """Why it was blocked, if nothing was learnt of the model since; a block and what led to it are nothing new."""
    for entry in reversed(entries):
        event = entry.event
        if isinstance(event, Blocked) and (event.identity, event.stage) == (version.identity, stage):
            return event.reason
        if not isinstance(event, (Blocked, Published, Refused, Quoted, Scanned)):
            return None
    return None


def _converge(yard: Yard, version: ModelVersion, live: Live, held: Held) -> list[str]:
    """Run the hooks of the version that serves, after its bytes were checked again."""
    stage = live.promotion.stage
    try:
        digest = digest_version(yard.store, version)
    except (IntegrityError, NotFoundError) as error:
        return _block(yard, version, stage, str(error))
    if digest != live.promotion.digest:
        return _block(yard, version, stage, "its files changed after it was ratified; promote it again")
    failed = run_hooks(yard, live, held)
    names = ", ".join(hook.name for hook in yard.hooks.get(stage, ())) or TIDY
    return [str(failure) for failure in failed] or [f"{names} of {version.ref} for {stage} brought up to date"]


def _block(yard: Yard, version: ModelVersion, stage: Stage, reason: str) -> list[str]:
    """Record, once, that an alias is not served, and why."""
    fresh = Blocked(**about(version, ""), stage=stage, reason=reason)
    last = _last(yard.ledger.entries(version.model), version.identity, stage)
    said: list[str] = []
    if last != fresh:
        yard.ledger.append(fresh)
        said.append(str(fresh))
    write_tags(yard, version.model, {version.version})
    return said


def _put_back(yard: Yard, version: ModelVersion, stage: Stage) -> str:
    """The alias goes back to the version that serves, or away."""
    live = fold(yard.ledger.entries(version.model)).live.get(stage)
    if live is None or live.identity == version.identity:
        yard.store.delete_alias(version.model, stage.value)
        return f"alias '{stage}' taken from {version.ref}"
    yard.store.set_alias(version.model, stage.value, live.identity[0])
    return f"alias '{stage}' put back from {version.ref} to version {live.identity[0]}"


def _bar(yard: Yard, versions: Mapping[int, ModelVersion], alias: str, number: int) -> list[str]:
    """An alias that looks like a stage and is none."""
    if number not in versions:
        return []
    stage = Stage(alias.lower())
    reason = f"alias '{alias}' is not '{stage}': MLflow tells upper from lower case"
    said = _block(yard, versions[number], stage, reason)
    if yard.revert:
        yard.store.delete_alias(versions[number].model, alias)
        said.append(f"alias '{alias}' taken from {versions[number].ref}")
    return said


def _release(yard: Yard, live: Live) -> list[str]:
    """Nobody holds the stage any more: its endpoint is stopped."""
    promotion = live.promotion
    event = Released(**promotion.subject, stage=promotion.stage, reason="its alias was removed in MLflow")
    yard.ledger.append(event)
    write_tags(yard, promotion.model, {promotion.version})
    said = [str(event)]
    for hook in yard.hooks.get(Stage.ARCHIVED, ()):
        failed = run_step(yard, live, hook.name, lambda hook=hook: hook.run(promotion))
        said += [str(failed)] if failed else []
    return said


def _report_gone(yard: Yard, model: str) -> list[str]:
    entries = yard.ledger.entries(model)
    gone = [
        _lose(yard, entries, live, f"the whole model '{model}' is gone from MLflow") for live in fold(entries).live.values()
    ]
    return [line for lines in gone for line in lines]


def _lose(yard: Yard, entries: Sequence[Entry], live: Live, why: str) -> list[str]:
    """Record and report, once, that a version which serves is gone."""
    reason = f"{why}; what serves it goes on until another version is promoted"
    fresh = Lost(**live.promotion.subject, stage=live.promotion.stage, reason=reason)
    if fold(entries).lost.get(fresh.stage) == fresh:
        return []
    yard.ledger.append(fresh)
    return [str(fresh)]


def _missing(versions: Mapping[int, ModelVersion], live: Live) -> bool:
    return live.identity not in {version.identity for version in versions.values()}


def _last(entries: Iterable[Entry], identity: tuple[int, int], stage: Stage) -> AnyEvent | None:
    """What was decided last of a version at a stage: blocked, ratified, or moved there."""
    for row in reversed(list(entries)):
        event = row.event
        if isinstance(event, (Blocked, Promoted, Flipped)) and (event.identity, event.stage) == (identity, stage):
            return event
    return None
