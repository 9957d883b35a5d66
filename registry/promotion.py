"""Promotion: a small state machine over the ledger. Every step is idempotent; a crash between any two is taken up again.

    promote(…)   judge → promoted (ratified) → alias moved → flipped → tidy → the stage's hooks
                   └► refused                └► undone, where the alias had moved elsewhere meanwhile

A step is keyed by model, version, time of creation, digest and stage. `recover` looks at what the ledger says was begun
and at the alias as it is, and finishes or undoes it, never both: an alias that still stands where it stood is moved, one
that stands there already is recorded, and any other means that somebody decided otherwise.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from registry.errors import IntegrityError, NotFoundError, RefusedError
from registry.events import Archived, Flipped, HookDone, Promoted, Refused, Undone, about
from registry.judging import Verdict, consider, digest_version, resolve
from registry.protocols import Held
from registry.records import Actor, ModelVersion
from registry.refs import Ref
from registry.stages import ALIASES, Stage, check_move
from registry.standing import TIDY, Live, fold, last_refusal
from registry.steps import run_hooks, write_tags
from registry.yard import Outcome, Yard


def promote(yard: Yard, ref: Ref, stage: Stage, actor: Actor) -> Outcome:
    """Move a version to a stage, or raise RefusedError with every gate's reason and change nothing."""
    if stage is Stage.ARCHIVED:
        return _archive(yard, _known(yard, ref), actor)
    version = resolve(yard.store, ref)
    with yard.deciding(ref.model) as held:
        recover(yard, ref.model, held)
        check_move(str(version.ref), fold(yard.ledger.entries(ref.model)).stage_of(version.identity), stage)
    yard.prepare(version, stage)
    with yard.deciding(ref.model) as held:
        live = flip(yard, version, ratify(yard, assess(yard, version, stage), actor), held)
    return _finish(yard, live)


def rollback(yard: Yard, model: str, stage: Stage, to: int | None, actor: Actor) -> Outcome:
    """Return a stage to a version that was ratified for it before, by default the one that served last.

    Nothing is judged again: the ratification stands for exactly these bytes, whose digest is computed again.
    """
    with yard.deciding(model) as held:
        recover(yard, model, held)
        version = _earlier(yard, model, stage, to)
        live = flip(yard, version, ratify_again(yard, version, stage, actor), held)
    return _finish(yard, live)


def _earlier(yard: Yard, model: str, stage: Stage, to: int | None) -> ModelVersion:
    """The version to go back to; one that somebody archived only where it is named."""
    standing = fold(yard.ledger.entries(model))
    current = standing.live.get(stage)
    versions = {version.identity: version for version in yard.store.versions(model)}
    served = standing.served.get(stage, ())
    past = [one for one in served if one in versions and (current is None or one != current.identity)]
    chosen = [one for one in past if (one not in standing.archived if to is None else one[0] == to)]
    if not chosen:
        wanted = f"{model}/{to}" if to else f"an earlier version of {model}"
        known = ", ".join(f"{model}/{one[0]}" for one in dict.fromkeys(past)) or "none"
        raise NotFoundError(wanted, f"was not in {stage} before (those that were: {known})", "see `modelyard history`")
    return versions[chosen[-1]]


def assess(yard: Yard, version: ModelVersion, stage: Stage) -> Verdict:
    """Judge a version by the yard's gates; nothing is written."""
    return consider(yard.store, yard.ledger, yard.gates.get(stage, ()), version, stage)


def ratify(yard: Yard, verdict: Verdict, actor: Actor) -> Promoted:
    """Append the verdict, whichever it is; raise RefusedError where it is no. The same refusal is kept once."""
    version, stage = verdict.version, verdict.stage
    told: dict[str, Any] = {"actor": actor.name, "proven": actor.proven, "findings": verdict.findings, "proof": verdict.proof}
    if not verdict.passed:
        fresh = Refused(**about(version, verdict.digest), stage=stage, **told)
        last = last_refusal(yard.ledger.entries(version.model), version, stage)
        if last is None or _said(last) != _said(fresh):
            yard.ledger.append(fresh)
        raise RefusedError(
            f"{version.ref} for {stage}", verdict.reasons, f"see `modelyard gates {version.ref} {stage}` for every figure"
        )
    previous = yard.store.aliases(version.model).get(stage.value)
    promotion = Promoted(**about(version, verdict.digest), stage=stage, previous=_other(previous, version), **told)
    yard.ledger.append(promotion)
    return promotion


def ratify_again(yard: Yard, version: ModelVersion, stage: Stage, actor: Actor) -> Promoted:
    """Return to an earlier ratification, if the bytes are still those that were ratified."""
    standing = fold(yard.ledger.entries(version.model))
    row, earlier = standing.ratified[stage, version.identity]
    if digest_version(yard.store, version) != earlier.digest:
        raise IntegrityError(version.ref, "its files changed after it was ratified", "promote it again")
    previous = yard.store.aliases(version.model).get(stage.value)
    promotion = earlier.model_copy(
        update={
            "previous": _other(previous, version),
            "actor": actor.name,
            "proven": actor.proven,
            "again": earlier.again or row,
            "proof": None,
        }
    )
    yard.ledger.append(promotion)
    return promotion


def flip(yard: Yard, version: ModelVersion, promotion: Promoted, held: Held) -> Live:
    """Move the alias, if it still is where it was when the promotion was ratified; else undo the promotion."""
    stage = promotion.stage
    held.check()
    current = yard.store.aliases(version.model).get(stage.value)
    if current not in {promotion.previous, version.version}:
        reason = f"alias '{stage}' moved to {current or 'nobody'} meanwhile"
        yard.ledger.append(Undone(**about(version, promotion.digest), stage=stage, reason=reason))
        raise RefusedError(version.ref, reason, "promote it again if it still should be")
    if current != version.version:
        yard.store.set_alias(version.model, stage.value, version.version)
    return record_flip(yard, version, promotion)


def record_flip(yard: Yard, version: ModelVersion, promotion: Promoted) -> Live:
    """Write down that the alias stands on a ratified version: from here on it is what serves."""
    told: dict[str, Any] = {"stage": promotion.stage, "previous": promotion.previous, "actor": promotion.actor}
    told["proven"] = promotion.proven
    entry = yard.ledger.append(Flipped(**about(version, promotion.digest), **told))
    return Live(promotion, entry.seq, promotion.actor)


def recover(yard: Yard, model: str, held: Held) -> list[str]:
    """Finish or undo what was begun and not ended; sentences of what was done."""
    standing = fold(yard.ledger.entries(model))
    if not standing.pending and not standing.leaving:
        return []
    versions = {version.identity: version for version in yard.store.versions(model)}
    said: list[str] = []
    for promotion in standing.pending.values():
        version = versions.get(promotion.identity)
        reason = _spoilt(yard, version, promotion)
        if version is None or reason is not None:
            event = Undone(**promotion.subject, stage=promotion.stage, reason=reason or "its version is gone")
            said.append(str(yard.ledger.append(event).event))
            continue
        try:
            flip(yard, version, promotion, held)
            said.append(f"{promotion.label}: finished its promotion to {promotion.stage}")
        except RefusedError as undone:
            said.append(f"{promotion.label}: undone, {undone.expectation}")
    for identity, archived in standing.leaving.items():
        if identity in versions:
            _leave(yard, versions[identity], archived.digest)
            said.append(f"{archived.label}: finished archiving it")
    return said


def _spoilt(yard: Yard, version: ModelVersion | None, promotion: Promoted) -> str | None:
    """Why a promotion that was begun cannot be finished."""
    if version is None:
        return "its version is gone"
    try:
        same = digest_version(yard.store, version) == promotion.digest
    except (IntegrityError, NotFoundError) as error:
        return error.expectation
    return None if same else "its files changed after it was ratified"


def _finish(yard: Yard, live: Live) -> Outcome:
    with yard.working(live.promotion.model) as held:
        return Outcome(live.promotion, run_hooks(yard, live, held))


def _archive(yard: Yard, version: ModelVersion, actor: Actor) -> Outcome:
    """Take a version's aliases away, for good: it has to earn a stage again."""
    with yard.deciding(version.model) as held:
        recover(yard, version.model, held)
        digest = _digest_or_last(yard, version)
        entry = yard.ledger.append(Archived(**about(version, digest), actor=actor.name, proven=actor.proven))
        held.check()
        _leave(yard, version, digest)
    told: dict[str, Any] = {
        "stage": Stage.ARCHIVED,
        "previous": None,
        "actor": actor.name,
        "findings": [],
        "proven": actor.proven,
    }
    return _finish(yard, Live(Promoted(**about(version, digest), **told), entry.seq, actor.name))


def _known(yard: Yard, ref: Ref) -> ModelVersion:
    """The version that a reference names; one that serves and is gone from MLflow can still be given up."""
    try:
        return resolve(yard.store, ref)
    except NotFoundError:
        for live in fold(yard.ledger.entries(ref.model)).live.values():
            if ref.version == live.identity[0] or ref.alias == live.promotion.stage:
                return ModelVersion(ref.model, *live.identity)
        raise


def _digest_or_last(yard: Yard, version: ModelVersion) -> str:
    """The digest of a version's bytes; where they are gone, that of its last ratification."""
    try:
        return digest_version(yard.store, version)
    except (IntegrityError, NotFoundError):
        ratified = fold(yard.ledger.entries(version.model)).ratified
        return next((one.digest for (_, identity), (_, one) in ratified.items() if identity == version.identity), "")


def _leave(yard: Yard, version: ModelVersion, digest: str) -> None:
    """Take a version's aliases away; where the whole model is gone, there are none."""
    with suppress(NotFoundError):
        for alias, number in yard.store.aliases(version.model).items():
            if alias in ALIASES and number == version.version:
                yard.store.delete_alias(version.model, alias)
        write_tags(yard, version.model, {version.version})
    yard.ledger.append(HookDone(**about(version, digest), hook=TIDY, stage=Stage.ARCHIVED))


def _said(refused: Refused) -> tuple[object, ...]:
    """What makes two refusals the same."""
    return (refused.digest, refused.stage, refused.actor, refused.findings)


def _other(number: int | None, version: ModelVersion) -> int | None:
    """The holder before, if it is another version."""
    return None if number == version.version else number
