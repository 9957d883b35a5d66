"""The spending cap of an endpoint on RunPod: checked before anything is uploaded or created, and kept while it runs."""

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
from serving.targets.runpod.shapes import Endpoint, EndpointChanges, Workers

_BESIDE = ("", NEXT_SUFFIX, CANARY_SUFFIX)
"""What runs beside an endpoint for a while is in its cap."""


def check_budget(client: RunPodClient, config: RunPodDeploy, name: str, now: datetime) -> None:
    """Raise RefusedError if an idle month, or this month so far with its trial and canary, exceeds the cap."""
    if config.max_usd_per_month is None:
        return
    cap, idle = Decimal(str(config.max_usd_per_month)), endpoint_quote(client, config, now).usd_per_idle_month
    if idle > cap:
        raise RefusedError(
            "endpoint", f"{format_usd(idle)} a month for workers that never stop is over the {format_usd(cap)} cap", "lower it"
        )
    spent = month_spent(client, _endpoints_of(client, name), now)
    if spent >= cap:
        raise RefusedError(
            f"endpoint {name}", f"cost {format_usd(spent)} this month, over the {format_usd(cap)} cap", "raise the cap"
        )


def stop_over_cap(client: RunPodClient, name: str, cap: Decimal, now: datetime) -> Decimal | None:
    """Let no worker run any more once the month cost as much as the cap; what it cost, None where nothing was stopped.

    What it costs follows RunPod's bill, which lags behind by some minutes. The endpoint and its address stay.
    """
    endpoints = _endpoints_of(client, name)
    running = [endpoint for endpoint in endpoints if endpoint.workers.max > 0]
    spent = month_spent(client, endpoints, now) if running else Decimal(0)
    if not running or spent < cap:
        return None
    for endpoint in running:
        idle = endpoint.workers.idle_timeout
        client.update_endpoint(endpoint.id, EndpointChanges(workers=Workers(min=0, max=0, idle_timeout=idle)))
    return spent


def month_spent(client: RunPodClient, endpoints: list[Endpoint], now: datetime) -> Decimal:
    """What endpoints cost since the month began, by RunPod's bill."""
    began = now.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    return sum((bill.total_amount for endpoint in endpoints for bill in client.billed(endpoint.id, began)), Decimal(0))


def _endpoints_of(client: RunPodClient, name: str) -> list[Endpoint]:
    names = {name + suffix for suffix in _BESIDE}
    return [endpoint for endpoint in client.endpoints() if own_name(endpoint) in names]
