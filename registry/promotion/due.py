"""Which models a pass has to look at closely, from one look at everything; and whether a hook has to run again."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import cast

from registry.backoff import wait_is_over
from registry.errors import MissingKeyError
from registry.events import HookDone, now
from registry.promotion.context import PromotionContext
from registry.promotion.state import TIDY, Holder, PromotionState, done, fold, last_end
from registry.protocols import Checkable, Entry, Hook, Ledger, NeedsKey
from registry.records import Snapshot
from registry.stages import ALIASES, resembled


class View:
    """A ledger's rows by model, kept up to date by asking for the new ones only. Any number of threads may share it.

    Where another ledger was begun meanwhile, nothing of the one before stays.
    """

    def __init__(self, ledger: Ledger) -> None:
        """Nothing is read before `refresh`."""
        self._ledger, self._last = ledger, cast("Entry | None", None)
        self._rows: dict[str, list[Entry]] = defaultdict(list)
        self._folded: dict[str, PromotionState] = {}
        self._lock = threading.RLock()

    def refresh(self) -> None:
        """Read the rows that were added since the last time."""
        with self._lock:
            newer = since(self._ledger, self._last)
            if newer is None:
                self._rows.clear()
                self._folded.clear()
                self._last, newer = None, self._ledger.entries()
            for entry in newer:
                self._last = entry
                self._rows[entry.event.model].append(entry)
                self._folded.pop(entry.event.model, None)

    def models(self) -> set[str]:
        """Every model that the ledger knows."""
        with self._lock:
            return set(self._rows)

    def rows(self, model: str) -> Sequence[Entry]:
        """One model's rows, as they are now."""
        with self._lock:
            return tuple(self._rows.get(model, ()))

    def state(self, model: str) -> PromotionState:
        """One model's state. It is folded anew after each new row, so one that was handed out does not change."""
        with self._lock:
            if model not in self._folded:
                self._folded[model] = fold(self._rows.get(model, ()))
            return self._folded[model]


def since(ledger: Ledger, last: Entry | None) -> Sequence[Entry] | None:
    """The rows after the one that was read last; None where that is not in the ledger, so that it is another ledger."""
    if last is None:
        return ledger.entries()
    rows = ledger.entries(after=last.seq - 1)
    if not rows or (rows[0].seq, rows[0].at, rows[0].event) != (last.seq, last.at, last.event):
        return None
    return rows[1:]


@dataclass(frozen=True)
class Look:
    """One model as a pass saw it. `decided`: alias and decision agree, so that only hooks are left to look at."""

    model: str
    rows: Sequence[Entry]
    state: PromotionState
    decided: bool

    def needs_reconcile(self, context: PromotionContext) -> bool:
        """Whether it has to be looked at closely. Asks the hooks, and so the places where it is served."""
        return not self.decided or any(hook_is_due(context, self.rows, holder) for holder in self.state.holders.values())


def looks(view: View, snapshot: Mapping[str, Snapshot]) -> list[Look]:
    """Every model that a stage may concern, first those of which alias and decision differ: a rollback waits for no hook.

    Nothing is asked of anybody.
    """
    known = {model for model in view.models() if _begun(view.state(model))}
    names = sorted({*(model for model, now_ in snapshot.items() if now_.aliases), *known})
    every = [
        Look(model, view.rows(model), view.state(model), _is_decided(view, model, snapshot.get(model, _GONE)))
        for model in names
    ]
    return sorted(every, key=lambda look: look.decided)


def needs_reconcile(view: View, snapshot: Mapping[str, Snapshot], context_of: Callable[[str], PromotionContext]) -> list[str]:
    """The models that a pass has to look at closely; for all others alias, version and hooks are as they must be."""
    return [look.model for look in looks(view, snapshot) if look.needs_reconcile(context_of(look.model))]


def _begun(state: PromotionState) -> bool:
    """Whether something serves, or was begun and not ended."""
    return bool(state.holders or state.pending or state.leaving)


_GONE = Snapshot({}, {})


def _is_decided(view: View, model: str, now_: Snapshot) -> bool:
    state, rows = view.state(model), view.rows(model)
    if state.pending or state.leaving or any(variant(alias) for alias in now_.aliases):
        return False
    held = {stage: now_.aliases[stage.value] for stage in ALIASES if stage.value in now_.aliases}
    if held.keys() != state.holders.keys():
        return False
    for stage, number in held.items():
        holder = state.holders[stage]
        if holder.identity != (number, now_.created_ms.get(number)) or stage in state.lost:
            return False
        if not done(rows, holder, TIDY):
            return False
    return True


def variant(alias: str) -> bool:
    """Whether an alias reads like a stage's name and is none."""
    return alias not in ALIASES and resembled(alias) is not None


def hook_is_due(context: PromotionContext, entries: Sequence[Entry], holder: Holder) -> bool:
    """Whether a hook has to run now: never finished and its wait is over, or finished and since broken.

    One whose key is not set here is not due, nor are those after it that it was never finished for.
    """
    for hook in context.hooks.get(holder.promotion.stage, ()):
        if missing_key(hook, holder, entries):
            if done(entries, holder, hook.name):
                continue
            return False
        if not done(entries, holder, hook.name):
            return retry_is_due(entries, holder, hook.name)
        if isinstance(hook, Checkable) and not hook.healthy(holder.promotion):
            return retry_is_due(entries, holder, hook.name)
    return False


def missing_key(hook: Hook, holder: Holder, entries: Sequence[Entry]) -> MissingKeyError | None:
    """The key that a hook needs and that is not set in this process."""
    return hook.missing_key(holder.promotion, entries) if isinstance(hook, NeedsKey) else None


def retry_is_due(entries: Sequence[Entry], holder: Holder, hook: str, at: datetime | None = None) -> bool:
    """Whether a hook may run now: it did not fail last, or its wait after that failure is over."""
    last = last_end(entries, holder, hook)
    if last is None or isinstance(last[1], HookDone):
        return True
    return wait_is_over(last[0].at, last[1].attempt, at or now())
