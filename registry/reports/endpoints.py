"""Which endpoints exist, by the ledger: the one fold that costs, bills, retiring, `status` and the pages ask.

    deployed ──► deployed again                     replaced
        └──────► its stage has no holder any more   ended: released, archived, or its version moved to another stage

While another version has taken the stage over and is not deployed yet, the endpoint goes on answering, and costing: its
own deployment replaces it. So does an endpoint whose version was deleted in MLflow. A row with a flaw counts for nothing.

An endpoint that was deployed by a name of its own, with MLflow's commands, stands beside its stage's until it is deleted, or
until no version holds the stage.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import NamedTuple

from registry.events import (
    AnyEvent,
    Archived,
    CanaryEnded,
    CanaryStarted,
    Deployed,
    DeployStarted,
    EndpointDeleted,
    Flipped,
    HookDone,
    Lost,
    Promoted,
    Released,
    Undone,
)
from registry.promotion.state import PromotionState
from registry.protocols import Entry
from registry.refs import CANARY_SUFFIX, endpoint_name
from registry.stages import Stage

RETIRE = "retire"
"""The hook that deletes the endpoints of stages without a holder."""

_DECIDED = (Archived, Flipped, HookDone, Lost, Promoted, Released, Undone)
RELEVANT = (*_DECIDED, CanaryEnded, CanaryStarted, Deployed, DeployStarted, EndpointDeleted)
"""The rows that say which endpoints exist; all others may be left out."""
Begun = Deployed | DeployStarted
"""A row by which an endpoint may exist: it was deployed, or a command began to."""

_Key = tuple[str, Stage, bool]
_Named = tuple[str, str, str, str]
"""A model, a target, the owner there, and an endpoint's own name."""


@dataclass(frozen=True, slots=True)
class EndpointSpan:
    """An endpoint from its deployment to its end; `until` is None while it exists. `row` and `ended_row` are the ledger's."""

    event: Deployed | CanaryStarted
    row: int
    since: datetime
    ended_row: int | None = None
    until: datetime | None = None
    replaced: bool = False

    @property
    def name(self) -> str:
        """The endpoint's name at its target."""
        return endpoint_named(self.event)

    @property
    def is_canary(self) -> bool:
        """Whether it runs beside its stage's endpoint and gets a share of its traffic."""
        return isinstance(self.event, CanaryStarted)


class _Fold:
    """The spans of any number of models, one row after the other."""

    def __init__(self) -> None:
        self.spans: list[EndpointSpan] = []
        self._open: dict[_Key, int] = {}
        self._named: dict[_Named, int] = {}
        self._states: dict[str, PromotionState] = {}

    def add(self, entry: Entry) -> None:
        event, state = entry.event, self._states.setdefault(entry.event.model, PromotionState())
        before = {stage: holder.identity for stage, holder in state.holders.items()}
        state.apply(entry)
        for stage, identity in before.items():
            holder = state.holders.get(stage)
            if holder is None or holder.identity != identity:  # a canary is the holder's, an endpoint is its stage's
                self._end(entry, (event.model, stage), canary_only=holder is not None)
        match event:
            case Deployed(endpoint=name) if name:
                key = _named(event)
                self._end_named(entry, key, replaced=True)
                self._named[key] = self._begin_span(entry, event)
            case EndpointDeleted():
                self._end_deleted(entry, event)
            case Deployed():
                self._end(entry, (event.model, event.stage), replaced=True)
                self._begin(entry, event)
            case CanaryStarted():
                self._end(entry, (event.model, event.stage), canary_only=True, replaced=True)
                self._begin(entry, event)
            case CanaryEnded():
                self._end(entry, (event.model, event.stage), canary_only=True)
            case Released():
                self._end(entry, (event.model, event.stage))
            case Archived() | HookDone():
                self._end_unheld(entry, event, state)
            case _:
                pass

    def _end_unheld(self, entry: Entry, event: Archived | HookDone, state: PromotionState) -> None:
        """Archiving ends what serves the version; a finished `retire` ends whatever has no holder."""
        for model, stage, _ in list(self._open):
            if model != event.model or stage in state.holders:
                continue
            main = self._open.get((model, stage, False))
            serves = main is not None and self.spans[main].event.identity == event.identity
            if serves if isinstance(event, Archived) else event.hook == RETIRE:
                self._end(entry, (model, stage))

    def _begin(self, entry: Entry, event: Deployed | CanaryStarted) -> None:
        self._open[event.model, event.stage, isinstance(event, CanaryStarted)] = self._begin_span(entry, event)

    def _begin_span(self, entry: Entry, event: Deployed | CanaryStarted) -> int:
        self.spans.append(EndpointSpan(event, entry.seq, entry.at))
        return len(self.spans) - 1

    def _end(self, entry: Entry, at: tuple[str, Stage], *, replaced: bool = False, canary_only: bool = False) -> None:
        for canary in (True,) if canary_only else (True, False):
            index = self._open.pop((*at, canary), None)
            if index is not None:
                self._end_span(entry, index, replaced=replaced)

    def _end_named(self, entry: Entry, key: _Named, *, replaced: bool = False) -> None:
        index = self._named.pop(key, None)
        if index is not None:
            self._end_span(entry, index, replaced=replaced)

    def _end_deleted(self, entry: Entry, event: EndpointDeleted) -> None:
        for key in _ended(event, self._named):
            self._end_named(entry, key)

    def _end_span(self, entry: Entry, index: int, *, replaced: bool) -> None:
        span = self.spans[index]
        until = max(entry.at, span.since)  # a clock that was set back makes no span negative
        self.spans[index] = replace(span, ended_row=entry.seq, until=until, replaced=replaced)


def endpoint_spans(entries: Iterable[Entry]) -> list[EndpointSpan]:
    """Every endpoint that ever existed, canaries too, in the order of their deployment. Rows of any number of models."""
    fold = _Fold()
    for entry in entries:
        if isinstance(entry.event, RELEVANT) and entry.flaw is None:  # a flaw costs a signature: asked last
            fold.add(entry)
    return fold.spans


def existing_endpoints(entries: Iterable[Entry]) -> list[EndpointSpan]:
    """The endpoints that exist now, canaries too."""
    return [span for span in endpoint_spans(entries) if span.until is None]


def existing_deployments(entries: Iterable[Entry]) -> list[Deployed]:
    """What was deployed for the stages' endpoints that exist now; canaries are left out."""
    return [span.event for span in existing_endpoints(entries) if isinstance(span.event, Deployed)]


def last_deployed(entries: Sequence[Entry], stage: Stage) -> Deployed | None:
    """What a model's stage was deployed as last, whether or not that endpoint exists still: where to look and delete."""
    for row in reversed(entries):
        event = row.event
        if isinstance(event, Deployed) and event.stage is stage and not event.endpoint and row.flaw is None:
            return event
    return None


def named_endpoints(entries: Iterable[Entry]) -> list[Begun]:
    """What may exist by a name of its own, beside its stage's endpoint."""
    known = dict[_Named, Begun]()
    for row in entries:
        match row.event:
            case (Deployed(endpoint=name) | DeployStarted(endpoint=name)) as event if name and row.flaw is None:
                known[_named(event)] = known.get(_named(event), event) if isinstance(event, DeployStarted) else event
            case EndpointDeleted() as event if row.flaw is None:
                for key in _ended(event, known):
                    known.pop(key)
            case _:
                pass
    return list(known.values())


def _named(event: Begun) -> _Named:
    return (event.model, event.target, event.owner, event.endpoint)


def _ended(event: EndpointDeleted, known: Iterable[_Named]) -> list[_Named]:
    """The endpoints with names of their own that a row says to be gone; without an owner, of whichever."""
    ends = (event.model, event.target, event.owner, event.endpoint)
    return [key for key in known if key == ends or (not event.owner and (*key[:2], "", key[3]) == ends)]


class Unretired(NamedTuple):
    """What may exist of a stage's endpoint, a row for each account; and since which row no version holds its stage."""

    begun: list[Begun]
    given_up: int | None


def unretired(entries: Iterable[Entry], stage: Stage) -> Unretired:
    """The endpoints of one model's stage that no row says to be gone.

    A deployment deletes the endpoint elsewhere before its own row is written, and a `retire` that finishes while no version
    holds the stage has deleted them all: one that finishes while a version holds it leaves what is held.
    """
    state, given_up = PromotionState(), None
    known: dict[tuple[str, str], Begun] = {}
    for row in entries:
        if not isinstance(row.event, RELEVANT) or row.flaw is not None:  # a flaw costs a signature: asked last
            continue
        state.apply(row)
        event, begins = row.event, is_begun(row, stage)
        if begins and isinstance(event, Deployed):
            known = {(event.target, event.owner): event}
        elif begins and isinstance(event, DeployStarted):
            known.setdefault((event.target, event.owner), event)
        elif isinstance(event, EndpointDeleted) and event.stage is stage and not event.endpoint:
            known.pop((event.target, event.owner), None)
        elif isinstance(event, HookDone) and event.hook == RETIRE and stage not in state.holders:
            known = {}
        if stage in state.holders or not known:
            given_up = None
        elif given_up is None or begins:
            given_up = row.seq
    return Unretired(list(known.values()), given_up)


def is_begun(row: Entry, stage: Stage) -> bool:
    """Whether a row begins or records the deployment of a stage's own endpoint."""
    event = row.event
    if not isinstance(event, (Deployed, DeployStarted)) or event.stage is not stage or event.endpoint:
        return False
    return row.flaw is None and not (isinstance(event, DeployStarted) and event.canary)


def endpoint_named(event: AnyEvent) -> str:
    """The name of the endpoint that a deployment or a canary is about; "" for any other event."""
    if isinstance(event, CanaryStarted):
        return endpoint_name(event.model, event.stage) + CANARY_SUFFIX
    return (event.endpoint or endpoint_name(event.model, event.stage)) if isinstance(event, Deployed) else ""
