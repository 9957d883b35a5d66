"""Endpoints of stages that no version holds any more: deleted, here and in clouds, and tried again until they are gone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pipelines.deployment.canary.start import Canaries
from pipelines.deployment.targets import Targets
from registry.backoff import wait_is_over
from registry.errors import BusyError
from registry.events import Deployed, HookDone, HookFailed, Promoted, now
from registry.promotion.context import PromotionContext
from registry.promotion.due import View
from registry.promotion.hooks import run_step
from registry.promotion.state import Holder, PromotionState, fold
from registry.protocols import Entry
from registry.refs import endpoint_name
from registry.reports.endpoints import RETIRE, EndpointSpan, endpoint_spans, last_deployed
from registry.stages import ALIASES, Stage


@dataclass(frozen=True)
class Retirer:
    """Deletes endpoints. What is deleted is decided by the ledger alone."""

    context: PromotionContext
    targets: Targets
    canaries: Canaries

    def retire(self, model: str) -> None:
        """Delete the endpoints of a model's stages that no version holds. Who calls it has the model's lease."""
        entries = self.context.ledger.entries(model)
        held = fold(entries).holders
        for stage in ALIASES:
            event = last_deployed(entries, stage)
            if stage not in held and event is not None:
                target, name = self.targets.of(event), endpoint_name(model, stage)
                target.delete(name)
                self.canaries.remove(entries, target, name)

    def retire_local(self, state_of: Callable[[str], PromotionState]) -> list[str]:
        """Stop the endpoints on this machine of stages that no version holds any more by decision; return their names.

        An endpoint whose stage another version took over keeps answering until that version's own deployment replaces it,
        and so does one whose version was lost.
        """
        target, retired = self.targets.local(), list[str]()
        for live in target.list():
            if live.name not in {endpoint_name(live.model, stage) for stage in ALIASES}:
                continue  # deployed by another name, with MLflow's commands
            if _is_held(live.name, live.model, state_of(live.model)):
                continue
            with self.context.working(live.model):
                entries = self.context.ledger.entries(live.model)
                if not _is_held(live.name, live.model, fold(entries)):
                    target.delete(live.name)
                    self.canaries.remove(entries, target, live.name)
                    retired.append(live.name)
        return retired

    def retire_in_clouds(self, view: View) -> list[str]:
        """Delete in clouds, which cost money, what an earlier attempt did not: it failed, or was killed on its way.

        What a cloud still has is not asked at each pass: a row of the ledger says that it was deleted. After a failure the
        wait grows, up to ten minutes.
        """
        lines = list[str]()
        for model in sorted(view.models()):
            if _overdue(view.rows(model), view.state(model)) is None:
                continue
            try:
                with self.context.working(model, wait=False):
                    entries = self.context.ledger.entries(model)
                    holder = _overdue(entries, fold(entries))
                    if holder is None:
                        continue
                    failed = run_step(self.context, holder, RETIRE, lambda model=model: self.retire(model))
            except BusyError:
                continue  # another process acts on the model now
            name = endpoint_name(model, holder.promotion.stage)
            lines.append(str(failed) if failed else f"{name} deleted: no version holds its stage")
        return lines


@dataclass(frozen=True)
class RetireHook:
    """Deletes the endpoints of this model's stages that no version holds any more."""

    retirer: Retirer
    name: str = RETIRE

    def run(self, promotion: Promoted) -> None:
        """Delete them. The promotion holds the model's lease already."""
        self.retirer.retire(promotion.model)


def _is_held(name: str, model: str, state: PromotionState) -> bool:
    return any(name == endpoint_name(model, stage) for stage in state.holders)


def _overdue(rows: Sequence[Entry], state: PromotionState) -> Holder | None:
    """The version whose endpoint in a cloud has to be deleted now, and the row since which no version holds its stage."""
    for stage in ALIASES:
        last = None if stage in state.holders else last_deployed(rows, stage)
        if last is None or last.target == "local":
            continue  # most models, at every pass: nothing is folded for them
        span = _last_span(rows, stage)
        left = span.ended_row or span.row  # without an end it was deployed after its stage was given up
        ends = [row for row in rows if row.seq >= left and _is_retiring(row)]
        if any(isinstance(row.event, HookDone) for row in ends) or (ends and not _may_try(ends[-1])):
            continue
        ratified = state.ratified.get((stage, span.event.identity))
        if ratified:
            return Holder(ratified[1], left, ratified[1].actor)
    return None


def _last_span(rows: Sequence[Entry], stage: Stage) -> EndpointSpan:
    """The span of a stage's last deployment; there is one."""
    return [span for span in endpoint_spans(rows) if isinstance(span.event, Deployed) and span.event.stage is stage][-1]


def _is_retiring(row: Entry) -> bool:
    return isinstance(row.event, (HookDone, HookFailed)) and row.event.hook == RETIRE and row.flaw is None


def _may_try(row: Entry) -> bool:
    return wait_is_over(row.at, row.event.attempt if isinstance(row.event, HookFailed) else 0, now())
