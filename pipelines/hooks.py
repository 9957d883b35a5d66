"""What a promotion sets off: exporting, deploying, retiring. Idempotent, each under the model's lease."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipelines.deploy import deploy, endpoint_name
from pipelines.export import export
from registry.events import Promoted
from registry.refs import Ref
from registry.stages import ALIASES
from registry.standing import fold
from registry.yard import Yard

if TYPE_CHECKING:
    from pipelines.jobfile import Job, LocalDeploy
    from pipelines.wiring import Say, Workshop


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
    config: LocalDeploy
    say: Say
    name: str = "deploy"

    def run(self, promotion: Promoted) -> None:
        """Deploy, smoke-test, flip; or find that it was done."""
        deploy(self.workshop, self.yard, self.config, Ref(promotion.model, promotion.version), promotion.stage, self.say)

    def healthy(self, promotion: Promoted) -> bool:
        """Whether the endpoint that was deployed still answers for this version."""
        live = self.workshop.target().find(endpoint_name(promotion.model, promotion.stage))
        return (
            live is not None
            and (live.model, live.version) == (promotion.model, promotion.version)
            and self.workshop.target().answers(live)
        )


@dataclass(frozen=True)
class RetireHook:
    """Stops the endpoints of this model's stages that nobody holds any more."""

    workshop: Workshop
    yard: Yard
    name: str = "retire"

    def run(self, promotion: Promoted) -> None:
        """Stop them. The promotion holds the model's lease already."""
        held, target = fold(self.yard.ledger.entries(promotion.model)).live, self.workshop.target()
        for stage in ALIASES:
            if stage not in held:
                target.delete(endpoint_name(promotion.model, stage))
