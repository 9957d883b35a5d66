"""The reconciler: makes what serves follow from the aliases, as far as the ledger's evidence allows, again and again.

Level-triggered: a pass looks at every alias as it is now (the wish) and at what was decided (the ledger). It keeps no
state of its own, so a lost event, a crash or a restart costs nothing but the time to the next pass.

    alias on the version that serves      its hooks are run to their end, and again where they broke
    alias on another version              a request: judged like any promotion; blocked, with the reason, where it fails
    alias removed, version still there    the stage is released, nothing serves it any more
    version or model gone                 reported as lost; what serves goes on, because its bytes are proven still
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

from registry.digests import digest_of
from registry.errors import (
    BusyError,
    DeniedError,
    InputError,
    IntegrityError,
    MissingKeyError,
    NotFoundError,
    RefusedError,
    WaitingError,
    describe,
)
from registry.events import (
    AnyEvent,
    Blocked,
    Flipped,
    Promoted,
    Published,
    Quoted,
    Refused,
    Released,
    Scanned,
    about,
)
from registry.promotion.context import ImpatientLeases, PromotionContext
from registry.promotion.due import hook_is_due, variant
from registry.promotion.hooks import run_hooks, run_step, write_tags
from registry.promotion.lost import is_missing, lose, regain, report_gone
from registry.promotion.promote import ratify, ratify_again
from registry.promotion.recover import record_flip, recover
from registry.promotion.state import TIDY, Holder, done, fold
from registry.promotion.verdict import digest_version, evaluate_gates, manifest_version
from registry.protocols import Entry, Lease
from registry.records import Actor, ModelVersion
from registry.stages import ALIASES, Stage, resembled

OUTSIDE = Actor("somebody in MLflow")
"""Who moved an alias that no admission plugin saw."""


@dataclass(frozen=True)
class Pass:
    """What one pass did: sentences for people, counts for machines."""

    models: int
    aliases: int
    acted: list[str]


def reconcile(context: PromotionContext, model: str, *, wait: bool = True) -> Pass:
    """Look at one model closely. A lease that is held elsewhere is waited for, or ends it silently.

    What goes wrong at one of its stages keeps nobody from the other: it becomes a sentence.
    """
    if not wait:
        context = replace(context, leases=ImpatientLeases(context.leases))
    try:
        with context.working(model) as held:
            return _settle_all(context, model, held)
    except BusyError:
        return Pass(1, 0, [])


def _settle_all(context: PromotionContext, model: str, held: Lease) -> Pass:
    try:
        versions = {version.version: version for version in context.store.versions(model)}
    except NotFoundError:
        return Pass(1, 0, report_gone(context, model))
    acted = _on_its_own(model, partial(recover, context, model))  # another process may be between verdict and alias
    for holder in _untidy(context, model):
        version = versions.get(holder.identity[0])
        if version is not None and version.identity == holder.identity:
            acted += _on_its_own(model, partial(_converge, context, version, holder, held))
    aliases = context.store.aliases(model)
    for alias, number in aliases.items():
        if variant(alias):
            acted += _on_its_own(model, partial(_bar, context, versions, alias, number))
    acted += _on_its_own(model, lambda: regain(context, versions, fold(context.ledger.entries(model))))
    for stage in ALIASES:
        settle = partial(_settle, context, versions, (model, stage), aliases.get(stage.value), held)
        acted += _on_its_own(f"{model}@{stage}", settle)
    return Pass(1, sum(stage.value in aliases for stage in ALIASES), acted)


def _untidy(context: PromotionContext, model: str) -> list[Holder]:
    entries = context.ledger.entries(model)
    return [holder for holder in fold(entries).holders.values() if not done(entries, holder, TIDY)]


def _on_its_own(subject: str, step: Callable[[], list[str]]) -> list[str]:
    """A step of a pass: what goes wrong is a sentence, and the next step is taken. A lost lease ends them all."""
    try:
        return step()
    except BusyError:
        raise
    except (WaitingError, MissingKeyError):
        return []  # it was said when it failed; that a key is not set, whoever runs the pass says once
    except Exception as error:  # noqa: BLE001 gates, hooks and files are anybody's
        return [f"{subject} could not be reconciled: {describe(error)}"]


def _settle(
    context: PromotionContext, versions: Mapping[int, ModelVersion], at: tuple[str, Stage], number: int | None, held: Lease
) -> list[str]:
    """Bring one stage to its end."""
    stage, entries = at[1], context.ledger.entries(at[0])
    holder = fold(entries).holders.get(stage)
    lost = holder is not None and is_missing(versions, holder)
    if holder is not None and lost and (number is None or number not in versions):
        return lose(context, entries, holder, f"{holder.promotion.label} was deleted in MLflow, and nobody archived it")
    if number is None:
        return _release(context, holder) if holder else []
    version = versions.get(number)
    if version is None:
        return []  # an alias on nothing, which nothing of ours ever stood on
    if holder is None or holder.identity != version.identity:
        holder = _admit(context, version, stage)
        if isinstance(holder, list):
            return holder
    elif not hook_is_due(context, entries, holder) and done(entries, holder, TIDY):
        return []
    return _converge(context, version, holder, held)


def _admit(context: PromotionContext, version: ModelVersion, stage: Stage) -> Holder | list[str]:
    """An alias on a version that does not serve yet: judge it like any promotion.

    What was blocked stays so until the ledger knows something new of the model.
    """
    if reason := _still_blocked(context.ledger.entries(version.model), version, stage):
        return _turn_away(context, version, stage, reason)
    try:
        again = fold(context.ledger.entries(version.model)).ratification_of(version, stage) is not None
        if not again:
            context.measure(version, stage)  # before the short lease: measuring takes minutes, a rollback must not wait
        manifest = manifest_version(context.store, version)
        with context.deciding(version.model):
            if context.store.aliases(version.model).get(stage.value) != version.version:
                return []  # moved on while its evidence was gathered
            state = fold(context.ledger.entries(version.model))
            if stage in state.pending or again != (state.ratification_of(version, stage) is not None):
                return []  # decided about meanwhile: the next pass looks again
            served = state.served.get(stage)
            verdict = None if again else evaluate_gates(context, version, stage, manifest)
            returned = (version, digest_of(manifest))
            promotion = ratify(context, verdict, OUTSIDE) if verdict else ratify_again(context, returned, stage, OUTSIDE)
            return record_flip(context, version, promotion.model_copy(update={"previous": served[-1][0] if served else None}))
    except DeniedError:
        raise  # a key is missing here, which says nothing of the version
    except RefusedError as refused:
        return _turn_away(context, version, stage, refused.expectation)
    except (IntegrityError, InputError) as error:
        return _turn_away(context, version, stage, f"{error.expectation}; {error.remedy}")


def _turn_away(context: PromotionContext, version: ModelVersion, stage: Stage, reason: str) -> list[str]:
    """A request that the gates do not grant: blocked, and put back where the policy says so."""
    lines = _block(context, version, stage, reason)
    return [*lines, _put_back(context, version, stage)] if context.revert else lines


def _still_blocked(entries: Sequence[Entry], version: ModelVersion, stage: Stage) -> str | None:
    """Why it was blocked, if nothing was learnt of the model since; a block and what led to it are nothing new."""
    for entry in reversed(entries):
        event = entry.event
        if isinstance(event, (Published, Refused, Quoted, Scanned)) or entry.flaw is not None:
            continue
        if not isinstance(event, Blocked):
            return None
        if (event.identity, event.stage) == (version.identity, stage):
            return event.reason
    return None


def _converge(context: PromotionContext, version: ModelVersion, holder: Holder, held: Lease) -> list[str]:
    """Run the hooks of the version that serves, after its bytes were checked again."""
    stage = holder.promotion.stage
    try:
        digest = digest_version(context.store, version)
    except (IntegrityError, NotFoundError) as error:
        return _block(context, version, stage, str(error))
    if digest != holder.promotion.digest:
        return _block(context, version, stage, "its files changed after it was ratified; promote it again")
    failed = run_hooks(context, holder, held)
    names = ", ".join(hook.name for hook in context.hooks.get(stage, ())) or TIDY
    return [str(failure) for failure in failed] or [f"{names} of {version.ref} for {stage} brought up to date"]


def _block(context: PromotionContext, version: ModelVersion, stage: Stage, reason: str) -> list[str]:
    """Record, once, that an alias is not served, and why."""
    fresh = Blocked(**about(version, ""), stage=stage, reason=reason)
    last = _last(context.ledger.entries(version.model), version.identity, stage)
    lines: list[str] = []
    if last != fresh:
        context.ledger.append(fresh)
        lines.append(str(fresh))
    write_tags(context, version.model, {version.version})
    return lines


def _put_back(context: PromotionContext, version: ModelVersion, stage: Stage) -> str:
    """The alias goes back to the version that serves, or away; one that moved meanwhile stays where it is."""
    with context.deciding(version.model):
        if context.store.aliases(version.model).get(stage.value) != version.version:
            return f"alias '{stage}' moved on from {version.ref} by itself"
        holder = fold(context.ledger.entries(version.model)).holders.get(stage)
        if holder is None or holder.identity == version.identity:
            context.store.delete_alias(version.model, stage.value)
            return f"alias '{stage}' taken from {version.ref}"
        context.store.set_alias(version.model, stage.value, holder.identity[0])
        return f"alias '{stage}' put back from {version.ref} to version {holder.identity[0]}"


def _bar(context: PromotionContext, versions: Mapping[int, ModelVersion], alias: str, number: int) -> list[str]:
    """An alias that looks like a stage and is none."""
    stage = resembled(alias)
    if number not in versions or stage is None:
        return []
    reason = f"alias {alias!a} is not '{stage}': MLflow tells every letter from every other"
    lines = _block(context, versions[number], stage, reason)
    if context.revert:
        context.store.delete_alias(versions[number].model, alias)
        lines.append(f"alias {alias!a} taken from {versions[number].ref}")
    return lines


def _release(context: PromotionContext, holder: Holder) -> list[str]:
    """Nobody holds the stage any more: its endpoint is stopped."""
    promotion = holder.promotion
    event = Released(**promotion.subject, stage=promotion.stage, reason="its alias was removed in MLflow")
    with context.deciding(promotion.model):
        current = fold(context.ledger.entries(promotion.model)).holders.get(promotion.stage)
        gone = context.store.aliases(promotion.model).get(promotion.stage.value) is None
        if not gone or current is None or current.since != holder.since:
            return []  # decided about meanwhile: the next pass looks again
        context.ledger.append(event)
    write_tags(context, promotion.model, {promotion.version})
    lines = [str(event)]
    for hook in context.hooks.get(Stage.ARCHIVED, ()):
        failed = run_step(context, holder, hook.name, lambda hook=hook: hook.run(promotion))
        lines += [str(failed)] if failed else []
    return lines


def _last(entries: Iterable[Entry], identity: tuple[int, int], stage: Stage) -> AnyEvent | None:
    """What was decided last of a version at a stage: blocked, ratified, or moved there."""
    for row in reversed(list(entries)):
        event = row.event
        if not isinstance(event, (Blocked, Promoted, Flipped)) or (event.identity, event.stage) != (identity, stage):
            continue
        if row.flaw is None:
            return event
    return None
