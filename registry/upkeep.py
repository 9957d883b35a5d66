"""What a pass has to look at closely, told from one look at everything; and whether a hook has to run again."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta

from registry.events import HookDone, HookFailed, now
from registry.protocols import Checkable, Entry, Ledger
from registry.records import Snapshot
from registry.stages import ALIASES
from registry.standing import TIDY, Live, Standing, done, fold
from registry.yard import Yard

_LONGEST_WAIT = timedelta(minutes=10)


class View:
    """A ledger's rows by model, kept up to date by asking for the new ones only."""

    def __init__(self, ledger: Ledger) -> None:
        """Nothing is read before `refresh`."""
        self._ledger, self._last = ledger, 0
        self._rows: dict[str, list[Entry]] = defaultdict(list)
        self._folded: dict[str, Standing] = {}

    def refresh(self) -> None:
        """Read the rows that were added since the last time."""
        for entry in self._ledger.entries(after=self._last):
            self._last = entry.seq
            self._rows[entry.event.model].append(entry)
            self._folded.pop(entry.event.model, None)

    def models(self) -> set[str]:
        """Every model that the ledger knows."""
        return set(self._rows)

    def rows(self, model: str) -> Sequence[Entry]:
        """One model's rows."""
        return self._rows.get(model, [])

    def standing(self, model: str) -> Standing:
        """One model's standing."""
        if model not in self._folded:
            self._folded[model] = fold(self.rows(model))
        return self._folded[model]


def restless(view: View, snapshot: Mapping[str, Snapshot], yard_of: Callable[[str], Yard]) -> list[str]:
    """The models that a pass has to look at closely; for all others alias, version and hooks are as they must be."""
    known = {model for model in view.models() if _begun(view.standing(model))}
    names = sorted({*(model for model, one in snapshot.items() if one.aliases), *known})
    return [model for model in names if not _quiet(view, model, snapshot.get(model, _GONE), yard_of)]


def _begun(standing: Standing) -> bool:
    """Whether something serves, or was begun and not ended."""
    return bool(standing.live or standing.pending or standing.leaving)


_GONE = Snapshot({}, {})


def _quiet(view: View, model: str, now_: Snapshot, yard_of: Callable[[str], Yard]) -> bool:
    standing, rows = view.standing(model), view.rows(model)
    if standing.pending or standing.leaving or any(variant(alias) for alias in now_.aliases):
        return False
    held = {stage: now_.aliases[stage.value] for stage in ALIASES if stage.value in now_.aliases}
    if held.keys() != standing.live.keys():
        return False
    for stage, number in held.items():
        live = standing.live[stage]
        if live.identity != (number, now_.created_ms.get(number)) or stage in standing.lost:
            return False
        if not done(rows, live, TIDY) or due(yard_of(model), rows, live):
            return False
    return True


def variant(alias: str) -> bool:
    """Whether an alias is a stage's name in other letters."""
    return alias.lower() in ALIASES and alias not in ALIASES


def due(yard: Yard, entries: Sequence[Entry], live: Live) -> bool:
    """Whether a hook has to run now: never finished and its wait is over, or finished and since broken."""
    for hook in yard.hooks.get(live.promotion.stage, ()):
        if not done(entries, live, hook.name):
            return wait_is_over(entries, live, hook.name)
        if isinstance(hook, Checkable) and not hook.healthy(live.promotion):
            return wait_is_over(entries, live, hook.name)
    return False


def wait_is_over(entries: Sequence[Entry], live: Live, hook: str, at: datetime | None = None) -> bool:
    """Two seconds after the first failure, then twice as long each time, up to ten minutes."""
    for entry in reversed(entries):
        event = entry.event
        if entry.seq <= live.since:
            return True
        if not isinstance(event, (HookDone, HookFailed)) or event.identity != live.identity:
            continue
        if (event.hook, event.stage) == (hook, live.promotion.stage):
            if isinstance(event, HookDone):
                return True
            wait = min(timedelta(seconds=2.0 ** min(event.attempt, 12)), _LONGEST_WAIT)
            return (at or now()) - entry.at >= wait
    return True
