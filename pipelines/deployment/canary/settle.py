"""How a canary ends: its figures judged, the end recorded and brought about.

What was agreed and how it ended are rows of the ledger. A step that was lost is taken again at the next pass.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime

from pipelines.deployment.canary.start import Canaries
from pipelines.deployment.canary.state import JUDGE, Canary, canary_of
from pipelines.deployment.targets import account_at
from registry.errors import BusyError, MissingKeyError, ModelyardError, RefusedError, describe
from registry.events import CanaryEnded, CanaryStarted, now
from registry.promotion.context import PromotionContext
from registry.promotion.due import View
from registry.promotion.promote import rollback
from registry.promotion.state import fold
from registry.records import Actor
from registry.stages import ALIASES
from serving.canary.rules import Verdict, judge

ContextOf = Callable[[str], PromotionContext]
"""A model's context, with its gates and hooks."""


@dataclass(frozen=True)
class CanarySettler:
    """Ends canaries: by their figures, by hand, or to its end what a killed process began."""

    canaries: Canaries

    def verdict(self, canary: Canary, at: datetime) -> Verdict:
        """The verdict on a canary by what was counted until then.

        Its age is what the clock says, or for how long somebody counted: a clock that was set back keeps no canary alive.
        """
        tally = self.canaries.tally(canary)
        seconds = max((at - canary.at).total_seconds(), tally.seconds, 0.0)
        return judge(canary.rules, tally, seconds / 3600)

    def end(self, context: PromotionContext, canary: Canary, verdict: Verdict, actor: Actor) -> str:
        """Record the end and bring it about. Good: the stage's hook deploys it next. Bad: the stage goes back.

        Raises RefusedError where somebody else ended it first: their verdict stands.
        """
        event = _ending(canary, verdict, actor)
        self.canaries.end(canary, event, context.leases)
        return self._bring_about(context, canary, event)

    def settle(self, view: View, context_of: ContextOf) -> list[str]:
        """Judge every canary that is on; finish what an end began. Sentences of what was done."""
        lines = list[str]()
        for model in sorted(view.models()):
            rows = view.rows(model)
            if not any(isinstance(row.event, CanaryStarted) for row in rows):
                continue
            for stage in ALIASES:
                try:
                    canary = canary_of(rows, stage)
                    if canary is None or (canary.ended and canary.ended.outcome == "promoted"):
                        continue
                    lines += self._settle(context_of(model), canary, now())
                except MissingKeyError:
                    continue  # whoever runs the pass says once that a key is not set
                except Exception as error:  # noqa: BLE001 one model's canary keeps none of the others
                    lines.append(f"the canary of {model} for {stage} could not be settled: {describe(error)}")
        return lines

    def _settle(self, context: PromotionContext, canary: Canary, at: datetime) -> list[str]:
        if canary.ended:
            self._go_back(context, canary)
            return [f"{canary.started.label}: finished going back from it"]
        verdict = self.verdict(canary, at)
        if verdict.state == "going":
            return []
        event = _ending(canary, verdict, JUDGE)
        try:
            self.canaries.end(canary, event, context.leases)
        except (RefusedError, BusyError):  # decided otherwise meanwhile, or being decided: the next pass looks at that
            return []
        return [self._bring_about(context, canary, event)]

    def _bring_about(self, context: PromotionContext, canary: Canary, event: CanaryEnded) -> str:
        if event.outcome == "rolled_back":
            self._go_back(context, canary)
        return str(event)

    def _go_back(self, context: PromotionContext, canary: Canary) -> None:
        """Return the canary's stage to the version that serves still, unless another decision was made meanwhile."""
        started = canary.started
        try:
            self._remove(context, canary)
        except ModelyardError as error:  # a cloud that does not answer: the stage's own deployment removes it later
            self.canaries.say(f"{canary.name}: its canary could not be removed yet: {error}")
        try:
            rollback(context, started.model, started.stage, started.against, JUDGE, canary.holder.since)
        except RefusedError:
            holder = fold(context.ledger.entries(started.model)).holders.get(started.stage)
            if holder is None or holder.promotion.version != started.against:
                raise

    def _remove(self, context: PromotionContext, canary: Canary) -> None:
        """Remove the canary, if it is still this one that stands there; who works on the model now does it otherwise."""
        started = canary.started
        with suppress(BusyError), context.working(started.model, wait=False):
            entries = context.ledger.entries(started.model)
            current = canary_of(entries, started.stage)
            if current is not None and current.holder.since == canary.holder.since:
                self.canaries.remove(entries, self.canaries.targets.of(started), canary.name, account_at(started))


def _ending(canary: Canary, verdict: Verdict, actor: Actor) -> CanaryEnded:
    """The row that a verdict becomes."""
    return CanaryEnded(
        **canary.started.subject,
        stage=canary.started.stage,
        outcome="promoted" if verdict.state == "good" else "rolled_back",
        reason=verdict.reason,
        actor=actor.name,
        figures=verdict.figures,
    )
