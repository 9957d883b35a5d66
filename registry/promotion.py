"""Promotion: a small state machine over the ledger. Every step is idempotent; a crash between any two is taken up again.

    promote(…)   judge → promoted (ratified) → alias moved → flipped → tidy → the stage's hooks
                   └► refused                └► undone, where the alias had moved elsewhere meanwhile

A step is keyed by model, version, time of creation, digest and stage. `recover` looks at what the ledger says was begun
and at the alias as it is, and finishes or undoes it, never both: an alias that still stands where it stood is moved, one
that stands there already is recorded, and any other means that somebody decided otherwise.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from registry.errors import IntegrityError, ModelyardError, NotFoundError, RefusedError, shorten
from registry.events import Archived, Flipped, HookDone, HookFailed, Promoted, Refused, Undone, about
from registry.judging import Verdict, consider, digest_version, resolve
from registry.protocols import Checkable, Gate, Held, Hook, Leases, Ledger, Store
from registry.records import Actor, ModelVersion
from registry.refs import Ref
from registry.stages import ALIASES, Stage, check_move
from registry.standing import TIDY, Live, done, failures, fold, last_refusal
from registry.tags import changes

Prepare = Callable[[ModelVersion, Stage], None]
"""Measures what a stage's gates will ask for and the ledger does not know yet."""


def _always() -> bool:
    """What cannot break once it was done."""
    return True


def _nothing(_version: ModelVersion, _stage: Stage) -> None:
    """Prepare nothing."""


@dataclass(frozen=True)
class Yard:
    """The parts that promotion works with; wiring supplies them. `revert`: put an unproven alias back."""

    store: Store
    ledger: Ledger
    leases: Leases
    gates: Mapping[Stage, Sequence[Gate]] = field(default_factory=dict[Stage, Sequence[Gate]])
    hooks: Mapping[Stage, Sequence[Hook]] = field(default_factory=dict[Stage, Sequence[Hook]])
    prepare: Prepare = _nothing
    revert: bool = False

    def deciding(self, model: str, *, wait: bool = True) -> AbstractContextManager[Held]:
        """The short lease around a decision and its alias; held for as long as two requests take, so it is waited for."""
        return self.leases.hold(f"{model}/alias", wait=wait)

    def working(self, model: str, *, wait: bool = True) -> AbstractContextManager[Held]:
        """The long lease around hooks. A decision never waits for it: going back is possible while an export runs."""
        return self.leases.hold(model, wait=wait)


@dataclass(frozen=True)
class Outcome:
    """A promotion that happened, and the hooks that still have to succeed."""

    promotion: Promoted
    pending: list[HookFailed]


def promote(yard: Yard, ref: Ref, stage: Stage, actor: Actor) -> Outcome:
    """Move a version to a stage, or raise RefusedError with every gate's reason and change nothing."""
    version = resolve(yard.store, ref)
    if stage is Stage.ARCHIVED:
        return _archive(yard, version, actor)
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
    """The version to go back to."""
    standing = fold(yard.ledger.entries(model))
    current = standing.live.get(stage)
    versions = {version.identity: version for version in yard.store.versions(model)}
    served = standing.served.get(stage, ())
    past = [one for one in served if one in versions and (current is None or one != current.identity)]
    chosen = [one for one in past if to is None or one[0] == to]
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
        last = last_refusal(yard.ledger.entries(version.model), version)
        if last is None or _said(last) != _said(fresh):
            yard.ledger.append(fresh)
        raise RefusedError(f"{version.ref} for {stage}", verdict.reasons, "see `modelyard gates` for every figure")
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
        if version is None or digest_version(yard.store, version) != promotion.digest:
            reason = "its version is gone" if version is None else "its files changed after it was ratified"
            said.append(str(yard.ledger.append(Undone(**promotion.subject, stage=promotion.stage, reason=reason)).event))
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


def run_hooks(yard: Yard, live: Live, held: Held) -> list[HookFailed]:
    """Tidy, then run the stage's hooks in order, stopping at the first that fails; return the failure, if any.

    An alias that somebody moved meanwhile ends it: what was begun for this version is no longer wanted.
    """
    promotion = live.promotion
    for name, step, stands in _steps(yard, live):
        held.check()
        if promotion.stage in ALIASES and yard.store.aliases(promotion.model).get(promotion.stage) != promotion.version:
            return []
        if done(yard.ledger.entries(promotion.model), live, name) and stands():
            continue
        if failed := run_step(yard, live, name, step):
            return [failed]
    return []


def _steps(yard: Yard, live: Live) -> list[tuple[str, Callable[[], None], Callable[[], bool]]]:
    """Each step's name, what does it, and what tells whether it still stands once it was done."""
    promotion = live.promotion
    steps = [(TIDY, partial(tidy, yard, promotion), _always)]
    for hook in yard.hooks.get(promotion.stage, ()):
        stands = partial(hook.healthy, promotion) if isinstance(hook, Checkable) else _always
        steps.append((hook.name, partial(hook.run, promotion), stands))
    return steps


def run_step(yard: Yard, live: Live, name: str, step: Callable[[], None]) -> HookFailed | None:
    """Run one hook and record how it ended; the record of a failure is returned."""
    promotion = live.promotion
    same: dict[str, Any] = {**promotion.subject, "stage": promotion.stage}
    try:
        step()
    except Exception as error:  # noqa: BLE001 a hook is anybody's code, and its failure must be recorded whatever it is
        attempt = 1 + failures(yard.ledger.entries(promotion.model), live, name)
        reason = str(error) if isinstance(error, ModelyardError) else f"{type(error).__name__}: {shorten(error)}"
        failed = HookFailed(**same, hook=name, attempt=attempt, reason=reason)
        yard.ledger.append(failed)
        return failed
    if not done(yard.ledger.entries(promotion.model), live, name):
        yard.ledger.append(HookDone(**same, hook=name))
    return None


def tidy(yard: Yard, promotion: Promoted) -> None:
    """The version gives up any other stage's alias; its tags, and those of the one before it, say how things stand."""
    for alias, number in yard.store.aliases(promotion.model).items():
        if alias in ALIASES and alias != promotion.stage and number == promotion.version:
            yard.store.delete_alias(promotion.model, alias)
    write_tags(yard, promotion.model, {promotion.version, promotion.previous})


def write_tags(yard: Yard, model: str, numbers: set[int | None]) -> None:
    """Write what versions' tags must say, where they say otherwise."""
    entries = yard.ledger.entries(model)
    for version in yard.store.versions(model):
        if version.version in numbers and (wanted := changes(entries, version)):
            yard.store.annotate(version, wanted)


def _finish(yard: Yard, live: Live) -> Outcome:
    with yard.working(live.promotion.model) as held:
        return Outcome(live.promotion, run_hooks(yard, live, held))


def _archive(yard: Yard, version: ModelVersion, actor: Actor) -> Outcome:
    """Take a version's aliases away, for good: it has to earn a stage again."""
    digest = digest_version(yard.store, version)
    with yard.deciding(version.model) as held:
        recover(yard, version.model, held)
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


def _leave(yard: Yard, version: ModelVersion, digest: str) -> None:
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
