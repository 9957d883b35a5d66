"""The front of a canary whose provider does not share traffic."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipelines.deployment.canary.settle import CANARY, active_canary, pair_tally
from pipelines.deployment.targets import target_of
from registry.errors import InputError, NotFoundError
from serving.canary.tally import TrafficCounter
from serving.server.middleware import Limits
from serving.targets.canary_proxy import CanaryProxy, ProxiedEndpoint
from serving.targets.contract import Splits

if TYPE_CHECKING:
    from pipelines.home import Workshop
    from registry.stages import Stage
    from serving.targets.contract import Target


def proxy_of(workshop: Workshop, model: str, stage: Stage) -> tuple[CanaryProxy, Limits]:
    """The pair of a stage's endpoints, and what may be asked of its front."""
    found = active_canary(workshop.ledger().entries(model), model, stage)
    target = target_of(workshop, found.started)
    if isinstance(target, Splits):
        raise InputError(f"{model}@{stage}", f"its endpoint at {found.started.target} shares the traffic itself", "ask it")
    stable, canary = _way(target, found.name), _way(target, found.name + CANARY)
    counting = TrafficCounter(canary.live.bundle, found.rules.share, pair_tally(workshop, found.name))
    key = workshop.settings.endpoint_headers.get("Authorization", "").removeprefix("Bearer ")
    return CanaryProxy(stable, canary, counting), Limits(api_key=key)


def _way(target: Target, name: str) -> ProxiedEndpoint:
    live = target.find(name)
    if live is None:
        raise NotFoundError(f"endpoint {name}", "is not there", "run `modelyard reconcile`")
    return ProxiedEndpoint(live, target.ask(live))
