"""Endpoints that bear a name of their own, and not their stage's: deployed by MLflow's commands, by the rules of `deploy`.

The same budget is held, the same rows are booked, and the endpoint is deleted once no version holds its stage.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING

from pipelines.deployment.retire import deleted
from pipelines.deployment.smoke import smoke_test
from pipelines.deployment.starting import is_among, start
from pipelines.money.budgets import hold_budget
from registry.amounts import format_usd
from registry.errors import InputError, RefusedError
from registry.events import Deployed
from registry.refs import endpoint_name
from registry.reports.endpoints import named_endpoints
from registry.stages import ALIASES, Stage
from serving.targets.contract import LiveEndpoint
from validation.gates.budget import BudgetGate

if TYPE_CHECKING:
    from pipelines.home import Say
    from pipelines.job.deploys import AnyDeploy
    from pipelines.job.jobfile import Job
    from registry.protocols import Ledger
    from registry.records import ModelVersion
    from serving.bundle.bundle import Bundle
    from serving.targets.contract import Quote, Target


@dataclass(frozen=True)
class NamedEndpoint:
    """One endpoint by its own name, and the version that it is to serve: one that holds `stage` with these bytes."""

    ledger: Ledger
    say: Say
    name: str
    config: AnyDeploy
    stage: Stage
    version: ModelVersion
    digest: str
    bundle: Bundle

    @property
    def endpoint(self) -> str:
        """Its name is its own."""
        return self.name

    def deploy(self, target: Target, policy: Job | None) -> LiveEndpoint:
        """Serve it. Raises RefusedError for a spent budget, and for what costs more than the budget gate of its stage allows.

        Who calls it has the model's lease.
        """
        if self.name in {endpoint_name(self.version.model, stage) for stage in ALIASES}:
            why = f"is the name of a stage's endpoint, and {self.version.ref} does not hold that stage"
            raise InputError(f"deployment '{self.name}'", why, "choose another name")
        quote = target.quote()
        check_gate(self.name, quote, policy, self.stage)
        entries = self.ledger.entries()
        ours = (self.version.model, self.name)
        known = [event for event in named_endpoints(entries) if (event.model, event.endpoint) == ours]
        before = [event for event in known if isinstance(event, Deployed)]
        if all(event.bundle != self.bundle.index.digest for event in before):
            hold_budget(entries, self.version.model, self.say)
        images = self.config.smoke_images
        live, event = start(
            self, target, quote, lambda ask: smoke_test(self.name, ask, self.bundle.folder, images), self.ledger, self.say
        )
        if not is_among(event, before):
            self.ledger.append(event)
        return live


def check_gate(name: str, quote: Quote, policy: Job | None, stage: Stage) -> None:
    """Raise RefusedError for what a promotion to the stage may not cost: settings of one's own are no way around its gate."""
    gates = policy.gates.of(stage) if policy else ()
    for limit in [gate.serve_usd_per_month for gate in gates if isinstance(gate, BudgetGate)]:
        if limit is not None and quote.usd_per_month_bound > Decimal(str(limit)):
            costs = f"may cost {format_usd(quote.usd_per_month_bound)} a month, and the budget gate of {stage} allows "
            raise RefusedError(f"deployment '{name}'", f"{costs}{format_usd(limit)}", "take fewer or smaller workers")


def record_deletion(ledger: Ledger, live: LiveEndpoint, kind: str) -> None:
    """Book that an endpoint with a name of its own was deleted; one that the ledger does not know has no row to end."""
    for event in named_endpoints(ledger.entries(live.model)):
        if (event.target, event.endpoint) == (kind, live.name):
            ledger.append(deleted(event, "by `mlflow deployments delete`"))
