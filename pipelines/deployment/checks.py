"""Everything that can be asked before an endpoint is made: key, rights, balance, quota, stock, price, image, bundle, region."""

from __future__ import annotations

from typing import TYPE_CHECKING

from registry.amounts import format_usd
from registry.errors import ModelyardError
from serving.targets.checks import Check, check
from serving.targets.huggingface.target import HuggingFaceTarget
from serving.targets.runpod.target import RunPodTarget

if TYPE_CHECKING:
    from pipelines.deployment.targets import Targets
    from pipelines.job.deploys import AnyDeploy


def check_endpoint(targets: Targets, config: AnyDeploy, name: str) -> list[Check]:
    """Ask whatever the target can be asked. Nothing is created, changed or uploaded."""
    from serving.targets.huggingface.checks import checks_of as of_huggingface
    from serving.targets.runpod.checks import checks_of as of_runpod
    from serving.targets.runpod.pods import PodClient

    try:
        target = targets.build(config)
    except ModelyardError as error:
        return [Check(name="key", state="failed", text=f"{error.subject} {error.expectation}", remedy=error.remedy)]
    key = targets.settings.runpod_api_key
    if isinstance(target, RunPodTarget) and key is not None:
        return of_runpod(target, name, PodClient(key, targets.settings.runpod_url))
    if isinstance(target, HuggingFaceTarget):
        return of_huggingface(target, name)
    quote = target.quote()
    costs = check("price", lambda: f"{quote.hardware}, {format_usd(quote.usd_per_month_bound)} a month ({quote.source})")
    return [costs, check("endpoints", lambda: f"{len(target.list())} endpoints are there")]
