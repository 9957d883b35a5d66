"""The proxy of a canary whose provider does not share traffic itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipelines.deployment.canary.start import Canaries
from pipelines.deployment.canary.state import active_canary
from registry.errors import InputError, NotFoundError
from registry.refs import CANARY_SUFFIX
from serving.canary.tally import TrafficCounter
from serving.server.middleware import Limits
from serving.targets.canary_proxy import CANARY_S, STABLE_S, CanaryProxy, ProxiedEndpoint
from serving.targets.contract import Bounded, Splits

if TYPE_CHECKING:
    from registry.stages import Stage
    from serving.targets.contract import Target


def proxy_of(canaries: Canaries, model: str, stage: Stage, api_key: str = "") -> tuple[CanaryProxy, Limits]:
    """The pair of a stage's endpoints behind one, and what may be asked of it."""
    canary = active_canary(canaries.ledger.entries(model), model, stage)
    target = canaries.targets.of(canary.started)
    if isinstance(target, Splits):
        raise InputError(f"{model}@{stage}", f"its endpoint at {canary.started.target} shares the traffic itself", "ask it")
    stable, beside = _way(target, canary.name, STABLE_S), _way(target, canary.name + CANARY_SUFFIX, CANARY_S)
    counting = TrafficCounter(beside.live.bundle, canary.rules.share, canaries.tally_path(canary.name))
    return CanaryProxy(stable, beside, counting), Limits(api_key=api_key)


def _way(target: Target, name: str, seconds: float) -> ProxiedEndpoint:
    live = target.find(name)
    if live is None:
        raise NotFoundError(f"endpoint {name}", "is not there", "run `modelyard reconcile`")
    ask = target.ask_within(live, seconds) if isinstance(target, Bounded) else target.ask(live)
    return ProxiedEndpoint(live, ask, seconds)
