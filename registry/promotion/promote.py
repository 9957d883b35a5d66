"""Promotion: a small state machine over the ledger. Every step is idempotent; a crash between any two is taken up again.

    promote(…)   judge → promoted (ratified) → alias moved → flipped → tidy → the stage's hooks
                   └► refused                └► undone, where the alias had moved elsewhere meanwhile

A step is keyed by model, version, time of creation, digest and stage. `recover` looks at what the ledger says was begun
and at the alias as it is, and finishes or undoes it, never both: an alias that is still where it was is moved, one
that has moved already is recorded, and any other means that another decision was made.

Whatever is decided is decided on rows that were read while the lease is held. Bytes are fetched and hashed before.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from registry.errors import BusyError, IntegrityError, NotFoundError, RefusedError
from registry.events import Archived, PolicySet, Promoted, Refused, about
from registry.promotion.context import Outcome, PromotionContext
from registry.promotion.hooks import run_hooks
from registry.promotion.recover import LOOKS, deciding, flip, leave, recover
from registry.promotion.state import Holder, PromotionState, fold, last_refusal
from registry.promotion.verdict import Verdict, digest_version, evaluate_gates, manifest_version, resolve
from registry.records import Actor, ModelVersion
from registry.refs import Ref
from registry.stages import Stage, check_move


def promote(context: PromotionContext, ref: Ref, stage: Stage, actor: Actor) -> Outcome:
    """Move a version to a stage, or raise RefusedError with every gate's reason and change nothing."""
    if stage is Stage.ARCHIVED:
        return _archive(context, ref, actor)
    version = resolve(context.store, ref)
    with deciding(context, ref.model):
        check_move(str(version.ref), fold(context.ledger.entries(ref.model)).stage_of(version.identity), stage)
    context.measure(version, stage)
    manifest = manifest_version(context.store, version)
    with deciding(context, ref.model) as held:
        check_same(version, lambda: resolve(context.store, ref))
        check_move(str(version.ref), fold(context.ledger.entries(ref.model)).stage_of(version.identity), stage)
        verdict = evaluate_gates(context, version, stage, manifest)
        held.check()
        holder = flip(context, version, ratify(context, verdict, actor), held)
    return _finish(context, holder, policy=context.policy.proposed if context.policy else None)


def rollback(
    context: PromotionContext, model: str, stage: Stage, to: int | None, actor: Actor, since: int | None = None
) -> Outcome:
    """Go back further among the versions that served a stage and were not rolled back from, or to the one that is named.

    Nothing is judged again: the ratification is for exactly these bytes, whose digest is computed again. A version that a
    person names may be one that was archived before; one that is archived meanwhile is refused all the same. With `since`
    it is a rule that goes back, and only from the holder that serves since that row: RefusedError where another decision
    was made meanwhile, and nothing that was archived comes back.
    """
    recover(context, model)
    state = fold(context.ledger.entries(model))
    _check_since(model, stage, since, state)
    before, archived, digests = state.holders.get(stage), frozenset(state.archived), dict[tuple[int, int], str]()
    for _ in range(LOOKS):
        version = _earlier(context, model, stage, to)
        digests[version.identity] = digest_version(context.store, version)
        with deciding(context, model) as held:
            _check_holder(model, stage, before, fold(context.ledger.entries(model)))
            version = _earlier(context, model, stage, to)
            if version.identity not in digests:
                continue  # archived meanwhile: there is another one to go back to, whose bytes are looked at first
            back = since is None and version.identity in archived
            held.check()
            promotion = ratify_again(context, (version, digests[version.identity]), stage, actor, unarchive=back)
            holder = flip(context, version, promotion, held)
            break
    else:
        raise BusyError(f"model '{model}'", "is being decided about again and again", "try again later")
    return _finish(context, holder)


def _check_since(model: str, stage: Stage, since: int | None, state: PromotionState) -> None:
    holder = state.holders.get(stage)
    if since is not None and (holder is None or holder.since != since):
        raise RefusedError(f"{model}@{stage}", "another version came to hold it meanwhile", "see `modelyard history`")


def _check_holder(model: str, stage: Stage, before: Holder | None, state: PromotionState) -> None:
    """Whoever goes back means: back from the version that they saw."""
    current = state.holders.get(stage)
    if (current.since if current else None) != (before.since if before else None):
        holder = f"{model}/{current.identity[0]}" if current else "no version"
        raise RefusedError(
            f"{model}@{stage}", f"{holder} came to hold it meanwhile", "look again, and roll back if you still want to"
        )


def _earlier(context: PromotionContext, model: str, stage: Stage, to: int | None) -> ModelVersion:
    """The version to go back to: the next one on the way back, or any that served where it is named."""
    state = fold(context.ledger.entries(model))
    current = state.holders.get(stage)
    versions = {version.identity: version for version in context.store.versions(model)}
    way = state.back.get(stage, ()) if to is None else state.served.get(stage, ())
    past = [identity for identity in way if identity in versions and (current is None or identity != current.identity)]
    chosen = [identity for identity in past if to is None or identity[0] == to]
    if not chosen:
        wanted = f"{model}/{to}" if to else f"a version of {model} further back"
        served = [identity for identity in state.served.get(stage, ()) if current is None or identity != current.identity]
        known = ", ".join(f"{model}/{identity[0]}" for identity in dict.fromkeys(served) if identity in versions) or "none"
        remedy = "see `modelyard history`" if to else "name one with --to, see `modelyard history`"
        raise NotFoundError(wanted, f"was not in {stage} before (those that were: {known})", remedy)
    return versions[chosen[-1]]


def check_same(version: ModelVersion, look: Callable[[], ModelVersion]) -> None:
    """Raise RefusedError where what was named is another version by now than the one that was measured."""
    current = look()
    if current.identity != version.identity:
        why = f"is {current.ref} by now" if current.version != version.version else "was deleted and registered anew meanwhile"
        raise RefusedError(f"what was {version.ref}", why, "look again, and decide about the one that you mean")


def ratify(context: PromotionContext, verdict: Verdict, actor: Actor) -> Promoted:
    """Append the verdict, whichever it is; raise RefusedError where it is no. The same refusal is kept once.

    A policy that was proposed with a promotion is recorded together with it, in one transaction, or not at all.
    """
    version, stage = verdict.version, verdict.stage
    entries = context.ledger.entries(version.model)
    policy = context.policy.confirm(entries, context.ledger.signer) if context.policy else []
    fields: dict[str, Any] = {"actor": actor.name, "proven": actor.proven, "findings": verdict.findings, "proof": verdict.proof}
    if not verdict.passed:
        advice = verdict.advice.text if verdict.advice else ""
        fresh = Refused(**about(version, verdict.digest), stage=stage, advice=advice, **fields)
        last = last_refusal(entries, version, stage)
        if last is None or _said(last) != _said(fresh):
            context.ledger.append(fresh)
        figures = f"see `modelyard gates {version.ref} {stage}` for every figure"
        remedy = f"what would help most: {advice} ({figures})" if advice else figures
        raise RefusedError(f"{version.ref} for {stage}", verdict.reasons, remedy)
    previous = context.store.aliases(version.model).get(stage.value)
    promotion = Promoted(**about(version, verdict.digest), stage=stage, previous=_other(previous, version), **fields)
    context.ledger.append_all([*policy, promotion])
    return promotion


def ratify_again(
    context: PromotionContext, version: tuple[ModelVersion, str], stage: Stage, actor: Actor, *, unarchive: bool = False
) -> Promoted:
    """Return to an earlier ratification, if the bytes are still those that were ratified. Called while the lease is held.

    `version` comes with the digest of its bytes, computed before. One that was archived since has to earn the stage again,
    unless whoever asks knew that (`unarchive`).
    """
    returning, digest = version
    state = fold(context.ledger.entries(returning.model))
    if returning.identity in state.archived and not unarchive:
        raise RefusedError(returning.ref, "was archived since it was ratified", "promote it to staging again")
    row, earlier = state.ratified[stage, returning.identity]
    if digest != earlier.digest:
        raise IntegrityError(returning.ref, "its files changed after it was ratified", "promote it again")
    previous = context.store.aliases(returning.model).get(stage.value)
    promotion = earlier.model_copy(
        update={
            "previous": _other(previous, returning),
            "actor": actor.name,
            "proven": actor.proven,
            "again": earlier.again or row,
            "proof": None,
            "findings": [],
        }
    )
    context.ledger.append(promotion)
    return promotion


def _finish(context: PromotionContext, holder: Holder, policy: PolicySet | None = None) -> Outcome:
    promotion = holder.promotion
    judged = None
    if promotion.again:
        judged = next(iter(context.ledger.entries(promotion.model, after=promotion.again - 1)), None)
    with context.working(promotion.model) as held:
        return Outcome(promotion, run_hooks(context, holder, held), policy, judged)


def _archive(context: PromotionContext, ref: Ref, actor: Actor) -> Outcome:
    """Take a version's aliases away, for good: it has to earn a stage again."""
    version = _known(context, ref)
    digest = _digest_or_last(context, version)
    with deciding(context, version.model) as held:
        check_same(version, lambda: _known(context, ref))
        held.check()
        entry = context.ledger.append(Archived(**about(version, digest), actor=actor.name, proven=actor.proven))
        leave(context, version, digest)
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


def _said(refused: Refused) -> tuple[object, ...]:
    """What makes two refusals the same."""
    return (refused.digest, refused.stage, refused.actor, refused.findings)


def _other(number: int | None, version: ModelVersion) -> int | None:
    """The holder before, if it is another version."""
    return None if number == version.version else number
