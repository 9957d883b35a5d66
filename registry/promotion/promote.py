"""Promotion: a small state machine over the ledger. Every step is idempotent; a crash between any two is taken up again.

    promote(…)   judge → promoted (ratified) → alias moved → flipped → tidy → the stage's hooks
                   └► refused                └► undone, where the alias had moved elsewhere meanwhile

A step is keyed by model, version, time of creation, digest and stage. `recover` looks at what the ledger says was begun
and at the alias as it is, and finishes or undoes it, never both: an alias that is still where it was is moved, one
that has moved already is recorded, and any other means that another decision was made.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from registry.errors import IntegrityError, NotFoundError, RefusedError
from registry.events import Archived, Flipped, HookDone, Promoted, Refused, Undone, about
from registry.promotion.context import Outcome, PromotionContext
from registry.promotion.hooks import run_hooks, write_tags
from registry.promotion.state import TIDY, Holder, fold, last_refusal
from registry.promotion.verdict import Verdict, digest_version, evaluate_gates, resolve
from registry.protocols import Lease
from registry.records import Actor, ModelVersion
from registry.refs import Ref
from registry.stages import ALIASES, Stage, check_move


def promote(context: PromotionContext, ref: Ref, stage: Stage, actor: Actor) -> Outcome:
    """Move a version to a stage, or raise RefusedError with every gate's reason and change nothing."""
    if stage is Stage.ARCHIVED:
        return _archive(context, _known(context, ref), actor)
    version = resolve(context.store, ref)
    with context.deciding(ref.model) as held:
        recover(context, ref.model, held)
        check_move(str(version.ref), fold(context.ledger.entries(ref.model)).stage_of(version.identity), stage)
    context.measure(version, stage)
    with context.deciding(ref.model) as held:
        holder = flip(context, version, ratify(context, evaluate_gates(context, version, stage), actor), held)
    return _finish(context, holder)


def rollback(
    context: PromotionContext, model: str, stage: Stage, to: int | None, actor: Actor, since: int | None = None
) -> Outcome:
    """Return a stage to a version that was ratified for it before, by default the one that served last.

    With `since`, only from the holder that serves since that row: RefusedError where another decision was made meanwhile.

    Nothing is judged again: the ratification is for exactly these bytes, whose digest is computed again.
    """
    with context.deciding(model) as held:
        recover(context, model, held)
        _check_since(context, model, stage, since)
        version = _earlier(context, model, stage, to)
        holder = flip(context, version, ratify_again(context, version, stage, actor), held)
    return _finish(context, holder)


def _check_since(context: PromotionContext, model: str, stage: Stage, since: int | None) -> None:
    if since is None:
        return
    holder = fold(context.ledger.entries(model)).holders.get(stage)
    if holder is None or holder.since != since:
        raise RefusedError(f"{model}@{stage}", "another version came to hold it meanwhile", "see `modelyard history`")


def _earlier(context: PromotionContext, model: str, stage: Stage, to: int | None) -> ModelVersion:
    """The version to go back to; an archived one only where it is named."""
    state = fold(context.ledger.entries(model))
    current = state.holders.get(stage)
    versions = {version.identity: version for version in context.store.versions(model)}
    served = state.served.get(stage, ())
    past = [identity for identity in served if identity in versions and (current is None or identity != current.identity)]
    chosen = [identity for identity in past if (identity not in state.archived if to is None else identity[0] == to)]
    if not chosen:
        wanted = f"{model}/{to}" if to else f"an earlier version of {model}"
        known = ", ".join(f"{model}/{identity[0]}" for identity in dict.fromkeys(past)) or "none"
        raise NotFoundError(wanted, f"was not in {stage} before (those that were: {known})", "see `modelyard history`")
    return versions[chosen[-1]]


def ratify(context: PromotionContext, verdict: Verdict, actor: Actor) -> Promoted:
    """Append the verdict, whichever it is; raise RefusedError where it is no. The same refusal is kept once."""
    version, stage = verdict.version, verdict.stage
    fields: dict[str, Any] = {"actor": actor.name, "proven": actor.proven, "findings": verdict.findings, "proof": verdict.proof}
    if not verdict.passed:
        fresh = Refused(**about(version, verdict.digest), stage=stage, **fields)
        last = last_refusal(context.ledger.entries(version.model), version, stage)
        if last is None or _said(last) != _said(fresh):
            context.ledger.append(fresh)
        raise RefusedError(
            f"{version.ref} for {stage}", verdict.reasons, f"see `modelyard gates {version.ref} {stage}` for every figure"
        )
    previous = context.store.aliases(version.model).get(stage.value)
    promotion = Promoted(**about(version, verdict.digest), stage=stage, previous=_other(previous, version), **fields)
    context.ledger.append(promotion)
    return promotion


def ratify_again(context: PromotionContext, version: ModelVersion, stage: Stage, actor: Actor) -> Promoted:
    """Return to an earlier ratification, if the bytes are still those that were ratified."""
    state = fold(context.ledger.entries(version.model))
    row, earlier = state.ratified[stage, version.identity]
    if digest_version(context.store, version) != earlier.digest:
        raise IntegrityError(version.ref, "its files changed after it was ratified", "promote it again")
    previous = context.store.aliases(version.model).get(stage.value)
    promotion = earlier.model_copy(
        update={
            "previous": _other(previous, version),
            "actor": actor.name,
            "proven": actor.proven,
            "again": earlier.again or row,
            "proof": None,
        }
    )
    context.ledger.append(promotion)
    return promotion


def flip(context: PromotionContext, version: ModelVersion, promotion: Promoted, held: Lease) -> Holder:
    """Move the alias, if it still is where it was when the promotion was ratified; else undo the promotion."""
    stage = promotion.stage
    held.check()  # hashing a large model may have taken longer than the lease
    current = context.store.aliases(version.model).get(stage.value)
    if current not in {promotion.previous, version.version}:
        reason = f"alias '{stage}' moved to {current or 'none'} meanwhile"
        context.ledger.append(Undone(**about(version, promotion.digest), stage=stage, reason=reason))
        raise RefusedError(version.ref, reason, "promote it again if it still should be")
    if current != version.version:
        context.store.set_alias(version.model, stage.value, version.version)
    return record_flip(context, version, promotion)


def record_flip(context: PromotionContext, version: ModelVersion, promotion: Promoted) -> Holder:
    """Record that the alias is on a ratified version: from here on it is what serves."""
    fields: dict[str, Any] = {"stage": promotion.stage, "previous": promotion.previous, "actor": promotion.actor}
    fields["proven"] = promotion.proven
    entry = context.ledger.append(Flipped(**about(version, promotion.digest), **fields))
    return Holder(promotion, entry.seq, promotion.actor)


def recover(context: PromotionContext, model: str, held: Lease) -> list[str]:
    """Finish or undo what was begun and not ended; sentences of what was done."""
    state = fold(context.ledger.entries(model))
    if not state.pending and not state.leaving:
        return []
    versions = {version.identity: version for version in context.store.versions(model)}
    lines: list[str] = []
    for promotion in state.pending.values():
        version = versions.get(promotion.identity)
        reason = _spoilt(context, version, promotion)
        if version is None or reason is not None:
            event = Undone(**promotion.subject, stage=promotion.stage, reason=reason or "its version is gone")
            lines.append(str(context.ledger.append(event).event))
            continue
        try:
            flip(context, version, promotion, held)
            lines.append(f"{promotion.label}: finished its promotion to {promotion.stage}")
        except RefusedError as undone:
            lines.append(f"{promotion.label}: undone, {undone.expectation}")
    for identity, archived in state.leaving.items():
        if identity in versions:
            _leave(context, versions[identity], archived.digest)
            lines.append(f"{archived.label}: finished archiving it")
    return lines


def _spoilt(context: PromotionContext, version: ModelVersion | None, promotion: Promoted) -> str | None:
    """Why a promotion that was begun cannot be finished."""
    if version is None:
        return "its version is gone"
    try:
        same = digest_version(context.store, version) == promotion.digest
    except (IntegrityError, NotFoundError) as error:
        return error.expectation
    return None if same else "its files changed after it was ratified"


def _finish(context: PromotionContext, holder: Holder) -> Outcome:
    with context.working(holder.promotion.model) as held:
        return Outcome(holder.promotion, run_hooks(context, holder, held))


def _archive(context: PromotionContext, version: ModelVersion, actor: Actor) -> Outcome:
    """Take a version's aliases away, for good: it has to earn a stage again."""
    with context.deciding(version.model) as held:
        recover(context, version.model, held)
        digest = _digest_or_last(context, version)
        entry = context.ledger.append(Archived(**about(version, digest), actor=actor.name, proven=actor.proven))
        held.check()
        _leave(context, version, digest)
    fields: dict[str, Any] = {
        "stage": Stage.ARCHIVED,
        "previous": None,
        "actor": actor.name,
        "findings": [],
        "proven": actor.proven,
    }
    return _finish(context, Holder(Promoted(**about(version, digest), **fields), entry.seq, actor.name))


def _known(context: PromotionContext, ref: Ref) -> ModelVersion:
    """The version that a reference names; one that serves and is gone from MLflow can still be given up."""
    try:
        return resolve(context.store, ref)
    except NotFoundError:
        for holder in fold(context.ledger.entries(ref.model)).holders.values():
            if ref.version == holder.identity[0] or ref.alias == holder.promotion.stage:
                return ModelVersion(ref.model, *holder.identity)
        raise


def _digest_or_last(context: PromotionContext, version: ModelVersion) -> str:
    """The digest of a version's bytes; where they are gone, that of its last ratification."""
    try:
        return digest_version(context.store, version)
    except (IntegrityError, NotFoundError):
        ratified = fold(context.ledger.entries(version.model)).ratified
        return next(
            (promotion.digest for (_, identity), (_, promotion) in ratified.items() if identity == version.identity), ""
        )


def _leave(context: PromotionContext, version: ModelVersion, digest: str) -> None:
    """Take a version's aliases away; where the whole model is gone, there are none."""
    with suppress(NotFoundError):
        for alias, number in context.store.aliases(version.model).items():
            if alias in ALIASES and number == version.version:
                context.store.delete_alias(version.model, alias)
        write_tags(context, version.model, {version.version})
    context.ledger.append(HookDone(**about(version, digest), hook=TIDY, stage=Stage.ARCHIVED))


def _said(refused: Refused) -> tuple[object, ...]:
    """What makes two refusals the same."""
    return (refused.digest, refused.stage, refused.actor, refused.findings)


def _other(number: int | None, version: ModelVersion) -> int | None:
    """The holder before, if it is another version."""
    return None if number == version.version else number
