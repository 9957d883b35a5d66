"""Endpoints of stages that nobody holds any more: deleted, here and in clouds, and tried again until they are gone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING

from pipelines.deployment.canary.settle import remove_canary
from pipelines.deployment.targets import target_of
from registry.errors import BusyError
from registry.events import Archived, Deployed, Flipped, HookDone, HookFailed, Released, now
from registry.promotion.context import PromotionContext
from registry.promotion.hooks import run_step
from registry.promotion.state import Holder, PromotionState, fold
from registry.protocols import Entry
from registry.reports.endpoints import endpoint_name, last_deployed
from registry.stages import ALIASES, Stage

if TYPE_CHECKING:
    from pipelines.home import Workshop
    from registry.promotion.due import View

RETIRE = "retire"
"""The name of the hook that deletes them."""

_LONGEST_WAIT_S = 600.0


def retire(workshop: Workshop, context: PromotionContext, model: str) -> None:
    """Delete the endpoints of a model's stages that nobody holds. Who calls it has the model's lease."""
    entries = context.ledger.entries(model)
    held = fold(entries).holders
    for stage in ALIASES:
        event = last_deployed(entries, stage)
        if stage not in held and event is not None:
            target, name = target_of(workshop, event), endpoint_name(model, stage)
            target.delete(name)
            remove_canary(workshop, entries, target, name)


def retire_unheld(workshop: Workshop, context: PromotionContext, state_of: Callable[[str], PromotionState]) -> list[str]:
    """Stop the endpoints on this machine of stages that no version holds any more by decision; return their names.

    An endpoint whose stage another version took over keeps answering until that version's own deployment replaces it,
    and so does one whose version was lost.
    """
    target, retired = workshop.target(), list[str]()
    for live in target.list():
        if live.name not in {endpoint_name(live.model, stage) for stage in ALIASES}:
            continue  # somebody deployed it by another name, with MLflow's commands
        if any(live.name == endpoint_name(live.model, stage) for stage in state_of(live.model).holders):
            continue
        with context.working(live.model):
            held = fold(context.ledger.entries(live.model)).holders
            if not any(live.name == endpoint_name(live.model, stage) for stage in held):
                target.delete(live.name)
                remove_canary(workshop, context.ledger.entries(live.model), target, live.name)
                retired.append(live.name)
    return retired


def retire_elsewhere(workshop: Workshop, context: PromotionContext, view: View) -> list[str]:
    """Delete in clouds, which cost money, what an earlier attempt did not: it failed, or was killed on its way.

    What a cloud still has is not asked at each pass: a row of the ledger says that it was deleted. After a failure the
    wait grows, up to ten minutes.
    """
    said = list[str]()
    for model in sorted(view.models()):
        live = _owed(view.rows(model), view.state(model))
        if live is None:
            continue
        try:
            with context.working(model, wait=False):
                live = _owed(context.ledger.entries(model), fold(context.ledger.entries(model)))
                if live is None:
                    continue
                failed = run_step(context, live, RETIRE, lambda model=model: retire(workshop, context, model))
        except BusyError:
            continue  # whoever acts on the model now may be at it
        said.append(str(failed) if failed else f"{endpoint_name(model, live.promotion.stage)} deleted: nobody holds its stage")
    return said


def _owed(rows: Sequence[Entry], state: PromotionState) -> Holder | None:
    """The version whose endpoint in a cloud has to be deleted now, and the row since which nobody holds its stage."""
    for stage in ALIASES:
        if stage in state.holders:
            continue
        place = next((at for at in reversed(range(len(rows))) if _deploys(rows[at], stage)), None)
        deployed = None if place is None else rows[place].event
        if place is None or not isinstance(deployed, Deployed) or deployed.target == "local":
            continue
        left = max((row.seq for row in rows[place:] if _leaves(row, deployed)), default=rows[place].seq)
        ends = [row for row in rows[place:] if row.seq > left and _retires(row)]
        if any(isinstance(row.event, HookDone) for row in ends) or (ends and not _wait_is_over(ends[-1])):
            continue
        ratified = state.ratified.get((stage, deployed.identity))
        if ratified:
            return Holder(ratified[1], left, ratified[1].actor)
    return None


def _deploys(row: Entry, stage: Stage) -> bool:
    return isinstance(row.event, Deployed) and row.event.stage is stage and row.flaw is None


def _leaves(row: Entry, deployed: Deployed) -> bool:
    """Whether by this row the version that was deployed gives up the stage."""
    event = row.event
    if row.flaw is not None or not isinstance(event, (Released, Archived, Flipped)) or event.identity != deployed.identity:
        return False
    return isinstance(event, Archived) or (event.stage is deployed.stage) is isinstance(event, Released)


def _retires(row: Entry) -> bool:
    return isinstance(row.event, (HookDone, HookFailed)) and row.event.hook == RETIRE and row.flaw is None


def _wait_is_over(row: Entry) -> bool:
    attempt = row.event.attempt if isinstance(row.event, HookFailed) else 0
    return now() - row.at >= timedelta(seconds=min(2.0 ** min(attempt, 12), _LONGEST_WAIT_S))
