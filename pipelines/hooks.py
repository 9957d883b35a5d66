"""What a promotion sets off: exporting, deploying, retiring. Idempotent, each under the model's lease."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipelines.canary import Canary, canary_of, well
from pipelines.deploy import bring
from pipelines.endpoints import endpoint_name
from pipelines.export import export
from pipelines.retiring import RETIRE, retire
from registry.events import Promoted
from registry.refs import Ref
from registry.yard import Yard

if TYPE_CHECKING:
    from pipelines.jobfile import Job
    from pipelines.targets import AnyDeploy
    from pipelines.wiring import Say, Workshop


_ASK_AGAIN_S = 60.0
"""A cloud is asked once a minute whether an endpoint is well; this machine, at each pass."""
_WELL: dict[tuple[str, str, str, str], float] = {}


@dataclass(frozen=True)
class ExportHook:
    """Makes sure that a sealed, measured bundle of the promoted bytes exists."""

    workshop: Workshop
    yard: Yard
    job: Job
    say: Say
    name: str = "export"

    def run(self, promotion: Promoted) -> None:
        """Export, or find that it was done."""
        export(self.workshop, self.yard, self.job, Ref(promotion.model, promotion.version), self.say)


@dataclass(frozen=True)
class DeployHook:
    """Makes sure that the stage's endpoint answers for the promoted version, and for no other."""

    workshop: Workshop
    yard: Yard
    config: AnyDeploy
    say: Say
    name: str = "deploy"

    def run(self, promotion: Promoted) -> None:
        """Deploy, smoke-test, flip, or begin as a canary; or find that it was done."""
        bring(self.workshop, self.yard, self.config, promotion, self.say)

    def healthy(self, promotion: Promoted) -> bool:
        """Whether the endpoint that was deployed still answers for this version."""
        name, entries = endpoint_name(promotion.model, promotion.stage), self.yard.ledger.entries
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
            return well(self.workshop, self.config, canary)
        target = self.workshop.target(self.config)
        live = target.find(name)
        return live is not None and (live.model, live.version) == (promotion.model, promotion.version) and target.answers(live)


@dataclass(frozen=True)
class RetireHook:
    """Deletes the endpoints of this model's stages that nobody holds any more."""

    workshop: Workshop
    yard: Yard
    name: str = RETIRE

    def run(self, promotion: Promoted) -> None:
        """Delete them. The promotion holds the model's lease already."""
        retire(self.workshop, self.yard, promotion.model)
