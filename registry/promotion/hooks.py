"""What follows a promotion, step by step: tidying, then the stage's hooks; each is recorded, none is done twice."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

from registry.errors import MissingKeyError, WaitingError, describe
from registry.events import HookDone, HookFailed, Promoted
from registry.promotion.context import PromotionContext
from registry.promotion.due import missing_key
from registry.promotion.state import TIDY, Holder, done, failures
from registry.promotion.tags import changes
from registry.protocols import Checkable, Entry, Lease
from registry.stages import ALIASES


class _Step(NamedTuple):
    """A step's name, what does it, whether its result is still valid once it was done, and the key it lacks here."""

    name: str
    run: Callable[[], None]
    is_valid: Callable[[], bool]
    missing_key: Callable[[Sequence[Entry]], MissingKeyError | None]


def run_hooks(context: PromotionContext, holder: Holder, held: Lease) -> list[HookFailed]:
    """Tidy, then run the stage's hooks in order, stopping at the first that fails; return the failure, if any.

    An alias that moved meanwhile ends it: what was begun for this version is no longer wanted. A hook whose key is not set
    in this process is not tried: what is returned then has attempt 0 and is no row of the ledger.
    """
    promotion = holder.promotion
    for step in _steps(context, holder):
        held.check()
        if promotion.stage in ALIASES and context.store.aliases(promotion.model).get(promotion.stage) != promotion.version:
            return []
        entries = context.ledger.entries(promotion.model)
        is_done, missing = done(entries, holder, step.name), step.missing_key(entries)
        if is_done and (missing is not None or step.is_valid()):
            continue
        if missing is not None:
            return [_not_tried(holder, step.name, missing)]
        if failed := run_step(context, holder, step.name, step.run):
            return [failed]
    return []


def _steps(context: PromotionContext, holder: Holder) -> list[_Step]:
    promotion = holder.promotion
    steps = [_Step(TIDY, partial(tidy, context, promotion), _always, _none)]
    for hook in context.hooks.get(promotion.stage, ()):
        is_valid = partial(hook.healthy, promotion) if isinstance(hook, Checkable) else _always
        steps.append(_Step(hook.name, partial(hook.run, promotion), is_valid, partial(missing_key, hook, holder)))
    return steps


def run_step(context: PromotionContext, holder: Holder, name: str, step: Callable[[], None]) -> HookFailed | None:
    """Run one hook and record how it ended; the record of a failure is returned.

    Without the key that it needs it was not tried: that is returned with attempt 0, and nothing is recorded.
    """
    promotion = holder.promotion
    try:
        step()
    except WaitingError:
        raise  # nothing was tried, so nothing failed that a wait could grow by
    except MissingKeyError as error:
        return _not_tried(holder, name, error)
    except Exception as error:  # noqa: BLE001 a hook is anybody's code, and its failure must be recorded whatever it is
        attempt = 1 + failures(context.ledger.entries(promotion.model), holder, name)
        failed = _failed(holder, name, attempt, error)
        context.ledger.append(failed)
        return failed
    record_done(context, holder, name)
    return None


def record_done(context: PromotionContext, holder: Holder, name: str) -> None:
    """Record that a hook has done its work, or that a person has done it by hand; once."""
    promotion = holder.promotion
    if not done(context.ledger.entries(promotion.model), holder, name):
        context.ledger.append(HookDone(**_subject(promotion), hook=name))


def _not_tried(holder: Holder, name: str, error: MissingKeyError) -> HookFailed:
    return _failed(holder, name, 0, error)


def _failed(holder: Holder, name: str, attempt: int, error: Exception) -> HookFailed:
    return HookFailed(**_subject(holder.promotion), hook=name, attempt=attempt, reason=describe(error))


def _subject(promotion: Promoted) -> dict[str, Any]:
    return {**promotion.subject, "stage": promotion.stage}


def tidy(context: PromotionContext, promotion: Promoted) -> None:
    """The version gives up any other stage's alias; its tags, and those of the one before it, say how things stand."""
    for alias, number in context.store.aliases(promotion.model).items():
        if alias in ALIASES and alias != promotion.stage and number == promotion.version:
            context.store.delete_alias(promotion.model, alias)
    write_tags(context, promotion.model, {promotion.version, promotion.previous})


def write_tags(context: PromotionContext, model: str, numbers: set[int | None]) -> None:
    """Write what versions' tags must say, where they say otherwise."""
    entries = context.ledger.entries(model)
    for version in context.store.versions(model):
        if version.version in numbers and (wanted := changes(entries, version)):
            context.store.annotate(version, wanted)


def _always() -> bool:
    """What cannot break once it was done."""
    return True


def _none(_: Sequence[Entry]) -> None:
    """What needs no key."""
