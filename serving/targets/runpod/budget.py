"""The spending cap of an endpoint on RunPod: checked before anything is deployed."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal

from registry.amounts import format_usd
from registry.errors import RefusedError
from registry.refs import CANARY_SUFFIX, NEXT_SUFFIX
from serving.targets.runpod.client import RunPodClient
from serving.targets.runpod.config import RunPodDeploy
from serving.targets.runpod.identity import own_name
from serving.targets.runpod.quote import endpoint_quote


def check_budget(client: RunPodClient, config: RunPodDeploy, name: str, now: datetime) -> None:
    """Raise RefusedError if an idle month, or this month so far with its trial and canary, exceeds the cap."""
    cap = config.max_usd_per_month
    if cap is None:
        return
    idle = endpoint_quote(client, config, now).usd_per_idle_month
    if idle > Decimal(str(cap)):
        raise RefusedError(
            "endpoint", f"{format_usd(idle)} a month for workers that never stop is over the {format_usd(cap)} cap", "lower it"
        )
    names = {name, name + NEXT_SUFFIX, name + CANARY_SUFFIX}
    began = now.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    endpoints = [endpoint for endpoint in client.endpoints() if own_name(endpoint) in names]
    spent = sum((bill.total_amount for endpoint in endpoints for bill in client.billed(endpoint.id, began)), Decimal(0))
    if spent > Decimal(str(cap)):
        raise RefusedError(
            f"endpoint {name}", f"cost {format_usd(spent)} this month, over the {format_usd(cap)} cap", "raise the cap"
        )
