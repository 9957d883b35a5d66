"""A decision's lease, and what stands at its beginning: whatever was begun before is finished or undone, never both.

What takes minutes (fetching and hashing a version's bytes) is done before the lease is taken. What it was based on is
looked at again within, where nobody else can decide: the ledger's rows, the alias, and that the version is still there.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

from registry.errors import BusyError, IntegrityError, NotFoundError, RefusedError
from registry.events import Flipped, HookDone, Promoted, Undone, about
from registry.promotion.context import PromotionContext
from registry.promotion.hooks import write_tags
from registry.promotion.state import TIDY, Holder, PromotionState, fold
from registry.promotion.verdict import digest_version
from registry.protocols import Lease
from registry.records import ModelVersion
from registry.stages import ALIASES, Stage

LOOKS = 5
"""How often something is looked at anew because another decision came between the look and the lease."""

_Key = tuple[tuple[int, int], str]


@contextmanager
def deciding(context: PromotionContext, model: str, *, wait: bool = True) -> Generator[Lease]:
    """Hold a model's decision lease, with nothing left half done. Raises BusyError where others decide all the time."""
    with _recovered(context, model, wait=wait) as (held, _):
        yield held


def recover(context: PromotionContext, model: str) -> list[str]:
    """Finish or undo what was begun and not ended; sentences of what was done."""
    state = fold(context.ledger.entries(model))
    if not state.pending and not state.leaving:
        return []
    with _recovered(context, model, wait=True) as (_, lines):
        return lines


@contextmanager
def _recovered(context: PromotionContext, model: str, *, wait: bool) -> Generator[tuple[Lease, list[str]]]:
    spoilt: dict[_Key, str | None] = {}
    for _ in range(LOOKS + 1):  # the first finds out what there is to look at
        with context.deciding(model, wait=wait) as held:
            state = fold(context.ledger.entries(model))
            unknown = [promotion for promotion in state.pending.values() if _key(promotion) not in spoilt]
            if not unknown:
                yield held, _finish_begun(context, model, state, spoilt, held)
                return
        versions = {version.identity: version for version in context.store.versions(model)}
        for promotion in unknown:
            spoilt[_key(promotion)] = _why_spoilt(context, versions.get(promotion.identity), promotion)
    raise BusyError(f"model '{model}'", "is being decided about again and again", "try again later")


def _key(promotion: Promoted) -> _Key:
    return promotion.identity, promotion.digest


def _why_spoilt(context: PromotionContext, version: ModelVersion | None, promotion: Promoted) -> str | None:
    """Why a promotion that was begun cannot be finished."""
    if version is None:
        return "its version is gone"
    try:
        same = digest_version(context.store, version) == promotion.digest
    except (IntegrityError, NotFoundError) as error:
        return error.expectation
    return None if same else "its files changed after it was ratified"


def _finish_begun(
    context: PromotionContext, model: str, state: PromotionState, spoilt: Mapping[_Key, str | None], held: Lease
) -> list[str]:
    if not state.pending and not state.leaving:
        return []
    versions = {version.identity: version for version in context.store.versions(model)}
    lines: list[str] = []
    for promotion in state.pending.values():
        version = versions.get(promotion.identity)
        reason = spoilt[_key(promotion)] if version else "its version is gone"
        if version is None or reason is not None:
            held.check()
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
            leave(context, versions[identity], archived.digest)
            lines.append(f"{archived.label}: finished archiving it")
    return lines


def flip(context: PromotionContext, version: ModelVersion, promotion: Promoted, held: Lease) -> Holder:
    """Move the alias, if it still is where it was when the promotion was ratified; else undo the promotion."""
    stage = promotion.stage
    held.check()
    current = context.store.aliases(version.model).get(stage.value)
    if current not in {promotion.previous, version.version}:
        reason = f"alias '{stage}' moved to {current or 'none'} meanwhile"
        context.ledger.append(Undone(**about(version, promotion.digest), stage=stage, reason=reason))
        raise RefusedError(version.ref, reason, "promote it again if it still should be")
    if current != version.version:
        context.store.set_alias(version.model, stage.value, version.version)
    return record_flip(context, version, promotion)


def record_flip(context: PromotionContext, version: ModelVersion, promotion: Promoted) -> Holder:
    """Record that the alias is on a ratified version: from here on it is what serves, and it serves no other stage.

    Its other alias goes while the lease is held: after a decision in between it would stand for a request.
    """
    fields: dict[str, Any] = {"stage": promotion.stage, "previous": promotion.previous, "actor": promotion.actor}
    fields["proven"] = promotion.proven
    entry = context.ledger.append(Flipped(**about(version, promotion.digest), **fields))
    for alias, number in context.store.aliases(version.model).items():
        if alias in ALIASES and alias != promotion.stage and number == version.version:
            context.store.delete_alias(version.model, alias)
    return Holder(promotion, entry.seq, promotion.actor)


def leave(context: PromotionContext, version: ModelVersion, digest: str) -> None:
    """Take a version's aliases away; where the whole model is gone, there are none."""
    with suppress(NotFoundError):
        for alias, number in context.store.aliases(version.model).items():
            if alias in ALIASES and number == version.version:
                context.store.delete_alias(version.model, alias)
        write_tags(context, version.model, {version.version})
    context.ledger.append(HookDone(**about(version, digest), hook=TIDY, stage=Stage.ARCHIVED))
