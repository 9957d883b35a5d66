"""The state of a model by what was decided: one fold over its ledger rows.

    promoted ──► (alias moved) flipped ──► hooks ──► … ──► flipped again to another version, released, or archived
        └──────► undone                     a promotion that never came to its alias

A row that was changed, or that no trusted key signed, decides nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from registry.events import Archived, Flipped, HookDone, HookFailed, Lost, Promoted, Refused, Regained, Released, Undone
from registry.protocols import Entry
from registry.records import ModelVersion
from registry.stages import Stage

TIDY = "tidy"
"""The step after an alias moved or a version was archived: other aliases go, tags are written."""

DECIDING = (Promoted, Flipped, Undone, Archived, Released, Lost, Regained, HookDone)
"""What the fold reads; whoever folds a part of the rows keeps these."""


@dataclass(frozen=True, slots=True)
class Holder:
    """The version that serves a stage: its ratification, and the row from which on it serves."""

    promotion: Promoted
    since: int
    actor: str

    @property
    def identity(self) -> tuple[int, int]:
        """The version's number and time of creation."""
        return self.promotion.identity


@dataclass
class PromotionState:
    """What was decided about one model."""

    holders: dict[Stage, Holder] = field(default_factory=dict[Stage, Holder])
    pending: dict[Stage, Promoted] = field(default_factory=dict[Stage, Promoted])
    ratified: dict[tuple[Stage, tuple[int, int]], tuple[int, Promoted]] = field(
        default_factory=dict[tuple[Stage, tuple[int, int]], tuple[int, Promoted]]
    )
    archived: set[tuple[int, int]] = field(default_factory=set[tuple[int, int]])
    leaving: dict[tuple[int, int], Archived] = field(default_factory=dict[tuple[int, int], Archived])
    lost: dict[Stage, Lost] = field(default_factory=dict[Stage, Lost])
    served: dict[Stage, list[tuple[int, int]]] = field(default_factory=dict[Stage, list[tuple[int, int]]])
    back: dict[Stage, list[tuple[int, int]]] = field(default_factory=dict[Stage, list[tuple[int, int]]])
    """Stage → the versions that served it and were neither rolled back from nor archived: the last one is the newest."""

    def apply(self, entry: Entry) -> None:
        """Take the next row in; a row with a flaw decides nothing."""
        if isinstance(entry.event, DECIDING) and entry.flaw is None:
            _decide(self, entry)

    def stage_of(self, identity: tuple[int, int]) -> Stage:
        """The stage that a version holds by decision; archived where it once held one."""
        for stage in (Stage.PRODUCTION, Stage.STAGING):
            if stage in self.holders and self.holders[stage].identity == identity:
                return stage
        once = identity in self.archived or any(known == identity for _, known in self.ratified)
        return Stage.ARCHIVED if once else Stage.NONE

    def ratification_of(self, version: ModelVersion, stage: Stage) -> Promoted | None:
        """The ratification by which a version may hold a stage; None after the version was archived."""
        if version.identity in self.archived or (stage, version.identity) not in self.ratified:
            return None
        return self.ratified[stage, version.identity][1]

    @property
    def backing(self) -> dict[tuple[int, int], Stage]:
        """Versions whose bytes must stay: all that were ratified and not archived since."""
        return {identity: stage for stage, identity in self.ratified if identity not in self.archived}


def sound(entries: Iterable[Entry], *kinds: type) -> list[Entry]:
    """The rows that count, of some kinds of event, or of all. A flaw costs a signature, so it is asked last."""
    return [row for row in entries if (not kinds or isinstance(row.event, kinds)) and row.flaw is None]


def fold(entries: Iterable[Entry]) -> PromotionState:
    """Fold one model's rows."""
    state = PromotionState()
    for entry in entries:
        state.apply(entry)
    return state


def _decide(state: PromotionState, entry: Entry) -> None:
    match entry.event:
        case Promoted() as event if event.stage is not Stage.ARCHIVED:
            state.ratified[event.stage, event.identity] = (entry.seq, event)
            state.pending[event.stage] = event
            state.archived.discard(event.identity)
            state.leaving.pop(event.identity, None)
        case Flipped() as event if (event.stage, event.identity) in state.ratified:
            _leave(state, event.identity)
            promotion = state.ratified[event.stage, event.identity][1]
            state.holders[event.stage] = Holder(promotion, entry.seq, event.actor)
            state.served.setdefault(event.stage, []).append(event.identity)
            _push(state.back.setdefault(event.stage, []), event.identity, is_return=promotion.again is not None)
            state.pending.pop(event.stage, None)
            state.lost.pop(event.stage, None)
        case Undone() as event if _is_of(state.pending.get(event.stage), event):
            state.pending.pop(event.stage, None)
        case Archived() as event:
            _leave(state, event.identity)
            state.pending = {
                stage: promotion for stage, promotion in state.pending.items() if promotion.identity != event.identity
            }
            state.back = {stage: [known for known in way if known != event.identity] for stage, way in state.back.items()}
            state.archived.add(event.identity)
            state.leaving[event.identity] = event
        case HookDone() as event if (event.hook, event.stage) == (TIDY, Stage.ARCHIVED):
            state.leaving.pop(event.identity, None)
        case Released() as event if _is_of(state.holders.get(event.stage), event):
            state.holders.pop(event.stage, None)
            state.lost.pop(event.stage, None)
        case Lost() as event if _is_of(state.holders.get(event.stage), event):
            state.lost[event.stage] = event
        case Regained() as event:
            state.lost.pop(event.stage, None)
        case _:
            pass


def _is_of(known: Promoted | Holder | None, event: Undone | Released | Lost) -> bool:
    """Whether a row that ends something is about the version that it ends; an overtaken one is about another."""
    return known is not None and known.identity == event.identity


def _push(way: list[tuple[int, int]], identity: tuple[int, int], *, is_return: bool) -> None:
    """The way back, once a version serves: a return takes away what lies above it, as an undo does."""
    if is_return and identity in way:
        while way[-1] != identity:
            way.pop()
    elif way[-1:] != [identity]:
        way.append(identity)


def _leave(state: PromotionState, identity: tuple[int, int]) -> None:
    """A version gives up the stages that it holds, whether it is there or lost."""
    state.holders = {stage: holder for stage, holder in state.holders.items() if holder.identity != identity}
    state.lost = {stage: lost for stage, lost in state.lost.items() if lost.identity != identity}


def last_end(entries: Sequence[Entry], holder: Holder, hook: str) -> tuple[Entry, HookDone | HookFailed] | None:
    """The row of a hook's last end since the version began to serve. A row with a flaw ends nothing."""
    for row in reversed(entries):
        if row.seq <= holder.since:
            return None
        event = row.event
        if not isinstance(event, (HookDone, HookFailed)) or (event.identity, event.hook) != (holder.identity, hook):
            continue
        if event.stage == holder.promotion.stage and row.flaw is None:
            return row, event
    return None


def done(entries: Sequence[Entry], holder: Holder, hook: str) -> bool:
    """Whether a hook's last end since the version began to serve was a good one."""
    end = last_end(entries, holder, hook)
    return end is not None and isinstance(end[1], HookDone)


def failures(entries: Sequence[Entry], holder: Holder, hook: str) -> int:
    """How often a hook has failed since the version began to serve."""
    key = (holder.identity, holder.promotion.stage, hook)
    since = [row for row in entries if row.seq > holder.since]
    ends = [row.event for row in sound(since, HookFailed) if isinstance(row.event, HookFailed)]
    return sum((end.identity, end.stage, end.hook) == key for end in ends)


def last_refusal(entries: Sequence[Entry], version: ModelVersion, stage: Stage) -> Refused | None:
    """A version's latest refusal for a stage, if it was not ratified for it since."""
    for entry in reversed(entries):
        event = entry.event
        if not isinstance(event, (Refused, Promoted)) or (event.stage, event.identity) != (stage, version.identity):
            continue
        if entry.flaw is None:
            return event if isinstance(event, Refused) else None
    return None
