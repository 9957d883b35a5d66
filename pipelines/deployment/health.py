"""When an endpoint counts as broken: not by one missed check, which on a busy machine means nothing."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING

from registry.events import Deployed, EndpointStopped, Promoted, now
from serving.targets.contract import Probed
from serving.targets.runpod.config import RunPodDeploy

if TYPE_CHECKING:
    from pipelines.job.deploys import AnyDeploy
    from registry.protocols import Ledger
    from serving.targets.contract import Health, LiveEndpoint, Target

MISSES = 3
REFUSING_S = 15.0
"""For how long an endpoint of this machine may not listen."""
CLOUD_S = 60.0
"""For how long a provider may call an endpoint broken: it says so of workers that are only starting."""
SLOW_S = 120.0
"""For how long one whose process accepts requests may leave health checks unanswered: load is no fault, a deadlock is."""


@dataclass
class HealthWatch:
    """The checks that each endpoint missed in a row. An endpoint is known by its place, its bundle and its process."""

    clock: Callable[[], float] = time.monotonic
    _missed: dict[tuple[str, ...], tuple[int, float]] = field(default_factory=dict[tuple[str, ...], tuple[int, float]])

    def is_broken(self, kind: str, target: Target, live: LiveEndpoint) -> bool:
        """Check an endpoint's health; whether it has to be deployed again.

        An endpoint without a process is broken at once. Any other is broken when several checks over a time have failed.
        """
        health = health_of(target, live)
        key = (kind, live.name, live.bundle, live.handle)
        if health in {"live", "gone"}:
            self._missed.pop(key, None)
            return health == "gone"
        misses, since = self._missed.get(key, (0, self.clock()))
        self._missed[key] = misses + 1, since
        patience = SLOW_S if health == "slow" else REFUSING_S if kind == "local" else CLOUD_S
        return misses + 1 >= MISSES and self.clock() - since >= patience


def serves(target: Target, live: LiveEndpoint) -> bool:
    """Whether an endpoint answers, or would if its machine were less busy."""
    return health_of(target, live) in {"live", "slow"}


def health_of(target: Target, live: LiveEndpoint) -> Health:
    """One health check, now."""
    if isinstance(target, Probed):
        return target.probe(live)
    return "live" if target.answers(live) else "refusing"


def is_stopped(config: AnyDeploy, promotion: Promoted, ledger: Ledger) -> bool:
    """Whether its cap stopped it this month. A higher cap, a deployment since then and the next month end that."""
    cap = config.max_usd_per_month if isinstance(config, RunPodDeploy) else None
    if cap is None:
        return False
    for row in reversed(ledger.entries(promotion.model)):
        event = row.event
        if not isinstance(event, (Deployed, EndpointStopped)) or event.endpoint or event.stage is not promotion.stage:
            continue
        if row.flaw is None:
            if isinstance(event, Deployed):
                return False
            return event.month == f"{now():%Y-%m}" and event.cap_usd >= Decimal(str(cap))
    return False
