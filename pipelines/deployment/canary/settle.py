"""How a canary ends: its figures judged, the end recorded and brought about.

What was agreed and how it ended are rows of the ledger. A step that was lost is taken again at the next pass.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from pipelines.deployment.canary.start import Canaries
from pipelines.deployment.canary.state import JUDGE, Canary, canary_of
from registry.errors import ModelyardError
from registry.events import CanaryEnded, CanaryStarted, now
from registry.promotion.context import PromotionContext
from registry.promotion.due import View
from registry.promotion.promote import rollback_unless_archived as rollback
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
        """The verdict on a canary by what was counted until then."""
        hours = (at - canary.at).total_seconds() / 3600
        return judge(canary.rules, self.canaries.tally(canary), hours)

    def end(self, context: PromotionContext, canary: Canary, verdict: Verdict, actor: Actor) -> str:
        """Record the end and bring it about. Good: the stage's hook deploys it next. Bad: the stage goes back."""
        event = CanaryEnded(
            **canary.started.subject,
            stage=canary.started.stage,
            outcome="promoted" if verdict.state == "good" else "rolled_back",
            reason=verdict.reason,
            actor=actor.name,
            figures=verdict.figures,
        )
        context.ledger.append(event)
        if event.outcome == "rolled_back":
            self._go_back(context, canary)
        return str(event)

    def settle(self, view: View, context_of: ContextOf) -> list[str]:
        """Judge every canary that is on; finish what an end began. Sentences of what was done."""
        lines = list[str]()
        for model in sorted(view.models()):
            rows = view.rows(model)
            if not any(isinstance(row.event, CanaryStarted) for row in rows):
                continue
            for stage in ALIASES:
                canary = canary_of(rows, stage)
                if canary is None or (canary.ended and canary.ended.outcome == "promoted"):
                    continue
                try:
                    lines += self._settle(context_of(model), canary, now())
                except ModelyardError as error:
                    lines.append(f"the canary of {model} for {stage} could not be settled: {error}")
        return lines

    def _settle(self, context: PromotionContext, canary: Canary, at: datetime) -> list[str]:
        if canary.ended:
            self._go_back(context, canary)
            return [f"{canary.started.label}: finished going back from it"]
        verdict = self.verdict(canary, at)
        return [] if verdict.state == "going" else [self.end(context, canary, verdict, JUDGE)]

    def _go_back(self, context: PromotionContext, canary: Canary) -> None:
        """Remove the canary, and return its stage to the version that serves still."""
        started, target = canary.started, self.canaries.targets.of(canary.started)
        self.canaries.remove(context.ledger.entries(started.model), target, canary.name)
        rollback(context, started.model, started.stage, started.against, JUDGE)
