"""What follows a promotion, step by step: tidying, then the stage's hooks; each is recorded, none is done twice."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from registry.errors import WaitingError, describe
from registry.events import HookDone, HookFailed, Promoted
from registry.promotion.context import PromotionContext
from registry.promotion.state import TIDY, Holder, done, failures
from registry.promotion.tags import changes
from registry.protocols import Checkable, Lease
from registry.stages import ALIASES


def run_hooks(context: PromotionContext, holder: Holder, held: Lease) -> list[HookFailed]:
    """Tidy, then run the stage's hooks in order, stopping at the first that fails; return the failure, if any.

    An alias that moved meanwhile ends it: what was begun for this version is no longer wanted.
    """
    promotion = holder.promotion
    for name, step, is_valid in _steps(context, holder):
        held.check()
        if promotion.stage in ALIASES and context.store.aliases(promotion.model).get(promotion.stage) != promotion.version:
            return []
        if done(context.ledger.entries(promotion.model), holder, name) and is_valid():
            continue
        if failed := run_step(context, holder, name, step):
            return [failed]
    return []


def _steps(context: PromotionContext, holder: Holder) -> list[tuple[str, Callable[[], None], Callable[[], bool]]]:
    """Each step's name, what does it, and whether its result is still valid once it was done."""
    promotion = holder.promotion
    steps = [(TIDY, partial(tidy, context, promotion), _always)]
    for hook in context.hooks.get(promotion.stage, ()):
        is_valid = partial(hook.healthy, promotion) if isinstance(hook, Checkable) else _always
        steps.append((hook.name, partial(hook.run, promotion), is_valid))
    return steps


def run_step(context: PromotionContext, holder: Holder, name: str, step: Callable[[], None]) -> HookFailed | None:
    """Run one hook and record how it ended; the record of a failure is returned."""
    promotion = holder.promotion
    same: dict[str, Any] = {**promotion.subject, "stage": promotion.stage}
    try:
        step()
    except WaitingError:
        raise  # nothing was tried, so nothing failed that a wait could grow by
    except Exception as error:  # noqa: BLE001 a hook is anybody's code, and its failure must be recorded whatever it is
        attempt = 1 + failures(context.ledger.entries(promotion.model), holder, name)
        failed = HookFailed(**same, hook=name, attempt=attempt, reason=describe(error))
        context.ledger.append(failed)
        return failed
    if not done(context.ledger.entries(promotion.model), holder, name):
        context.ledger.append(HookDone(**same, hook=name))
    return None


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
