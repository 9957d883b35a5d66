"""What follows a promotion, step by step: tidying, then the stage's hooks; each is recorded, none is done twice."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from registry.errors import ModelyardError, shorten
from registry.events import HookDone, HookFailed, Promoted
from registry.protocols import Checkable, Held
from registry.stages import ALIASES
from registry.standing import TIDY, Live, done, failures
from registry.tags import changes
from registry.yard import Yard


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


def _always() -> bool:
    """What cannot break once it was done."""
    return True
