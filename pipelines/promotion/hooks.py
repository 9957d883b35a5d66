"""What a promotion sets off: exporting, deploying, retiring. Idempotent, each under the model's lease."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipelines.bundles.export import export
from pipelines.deployment.canary.settle import Canary, canary_of, is_healthy
from pipelines.deployment.deploy import bring
from pipelines.deployment.retire import RETIRE, retire
from registry.events import Promoted
from registry.promotion.context import PromotionContext
from registry.refs import Ref
from registry.reports.endpoints import endpoint_name

if TYPE_CHECKING:
    from pipelines.deployment.targets import AnyDeploy
    from pipelines.home import Say, Workshop
    from pipelines.job.jobfile import Job


_ASK_AGAIN_S = 60.0
"""A cloud is asked once a minute whether an endpoint is well; this machine, at each pass."""
_WELL: dict[tuple[str, str, str, str], float] = {}


@dataclass(frozen=True)
class ExportHook:
    """Makes sure that a sealed, measured bundle of the promoted bytes exists."""

    workshop: Workshop
    context: PromotionContext
    job: Job
    say: Say
    name: str = "export"

    def run(self, promotion: Promoted) -> None:
        """Export, or find that it was done."""
        export(self.workshop, self.context, self.job, Ref(promotion.model, promotion.version), self.say)


@dataclass(frozen=True)
class DeployHook:
    """Makes sure that the stage's endpoint answers for the promoted version, and for no other."""

    workshop: Workshop
    context: PromotionContext
    config: AnyDeploy
    say: Say
    name: str = "deploy"

    def run(self, promotion: Promoted) -> None:
        """Deploy, smoke-test, flip, or begin as a canary; or find that it was done."""
        bring(self.workshop, self.context, self.config, promotion, self.say)

    def healthy(self, promotion: Promoted) -> bool:
        """Whether the endpoint that was deployed still answers for this version."""
        name, entries = endpoint_name(promotion.model, promotion.stage), self.context.ledger.entries
        canary = canary_of(entries(promotion.model), promotion.stage) if self.config.canary else None
        how = "alone" if canary is None else canary.ended.outcome if canary.ended else "canary"
        here, key = self.config.kind == "local", (self.config.kind, name, promotion.digest, how)
        if not here and time.monotonic() - _WELL.get(key, -_ASK_AGAIN_S) < _ASK_AGAIN_S:
            return True
        if stands := how == "rolled_back" or self._stands(name, promotion, canary if how == "canary" else None):
            _WELL[key] = time.monotonic()  # what was rolled back has nothing to do: its stage goes back
        return stands

    def _stands(self, name: str, promotion: Promoted, canary: Canary | None) -> bool:
        if canary:
            return is_healthy(self.workshop, self.config, canary)
        target = self.workshop.target(self.config)
        live = target.find(name)
        return live is not None and (live.model, live.version) == (promotion.model, promotion.version) and target.answers(live)


@dataclass(frozen=True)
class RetireHook:
    """Deletes the endpoints of this model's stages that nobody holds any more."""

    workshop: Workshop
    context: PromotionContext
    name: str = RETIRE

    def run(self, promotion: Promoted) -> None:
        """Delete them. The promotion holds the model's lease already."""
        retire(self.workshop, self.context, promotion.model)
