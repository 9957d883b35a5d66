"""The plan of a stage's deployment by a job, for the version that holds the stage by the ledger. No MLflow server is asked."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipelines.bundles.store import BundleStore, open_exported
from pipelines.deployment.plan import DeployPlan, Planner
from pipelines.deployment.targets import Targets
from registry.errors import ModelyardError
from registry.promotion.state import fold
from registry.records import ModelVersion

if TYPE_CHECKING:
    from pipelines.home import Home
    from pipelines.job.deploys import AnyDeploy
    from registry.stages import Stage
    from serving.bundle.bundle import Bundle


def plan_stage(home: Home, config: AnyDeploy, model: str, stage: Stage) -> DeployPlan:
    """What deploying the stage's holder would do; where no version holds it, what is known without one."""
    entries = home.ledger().entries(model) if home.settings.home.is_dir() else []
    return Planner(Targets(home.settings), config, model, stage, entries, _bundle_of(home, model, stage)).plan()


def _bundle_of(home: Home, model: str, stage: Stage) -> Bundle | None:
    """The bundle of the stage's holder, as far as it is there."""
    if not home.settings.home.is_dir():
        return None
    ledger = home.ledger()
    holder = fold(ledger.entries(model)).holders.get(stage)
    if holder is None:
        return None
    number, created = holder.identity
    version = ModelVersion(model, number, created)
    try:
        exported = BundleStore(home.settings.bundles, ledger).find_valid(version, holder.promotion.digest)
        return open_exported(exported) if exported else None
    except ModelyardError:
        return None
