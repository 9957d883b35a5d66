"""What an endpoint on RunPod costs: by the catalogue of the day, or by prices that are known without asking."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from decimal import Decimal
from typing import NamedTuple

from registry.errors import InputError
from registry.money.billing import HOURS_PER_MONTH
from registry.money.catalogue import Catalogue
from serving.targets.contract import Quote
from serving.targets.runpod.client import RunPodClient
from serving.targets.runpod.config import RunPodDeploy
from serving.targets.runpod.hosts import ACCOUNT_WORKERS
from serving.targets.runpod.shapes import GpuType

START_DISPUTED = "RunPod's pages disagree on whether a worker's start is billed"
"""Its pricing page says so, pages about queues and workers say that only running workers are."""
VCPU = " vCPU"
"""How a flavour's price for one is called in the catalogue: `cpu5c vCPU`."""


class Prices(NamedTuple):
    """US dollars an hour for one of each pool or flavour, with their day and source."""

    of: Mapping[str, Decimal]
    as_of: str
    source: str


def pool_prices(gpus: Iterable[GpuType]) -> dict[str, Decimal]:
    """Pool → the price of its dearest GPU: a worker may get any of them."""
    prices = dict[str, Decimal]()
    for gpu in gpus:
        if gpu.pool and gpu.price.serverless:
            prices[gpu.pool] = max(gpu.price.serverless, prices.get(gpu.pool, Decimal(0)))
    return prices


def endpoint_quote(client: RunPodClient, config: RunPodDeploy, today: datetime) -> Quote:
    """The cost by RunPod's own catalogue, now. Raises InputError for a pool or flavour that is not in it."""
    prices = pool_prices(client.gpus()) if config.pools else {cpu.id: cpu.price.serverless_per_vcpu for cpu in client.cpus()}
    return _quote(config, Prices(prices, today.date().isoformat(), "RunPod's catalogue, REST v2"))


def catalogue_quote(known: Catalogue, config: RunPodDeploy) -> Quote:
    """The cost by the home's catalogue; RunPod is not asked. Raises InputError for what it lacks."""
    rows = {
        price.hardware.removesuffix(VCPU): price
        for price in (entry.price for entry in known.current())
        if price.key[:2] == ("runpod", "serverless") and price.hardware.endswith(VCPU) is not bool(config.pools)
    }
    wanted = [rows[name] for name in config.pools or (config.cpu.id,) if name in rows]
    dearest = max(wanted, key=lambda price: price.usd_per_hour, default=None)
    basis = ("", "") if dearest is None else (dearest.as_of.isoformat(), dearest.source)
    return _quote(config, Prices({name: price.usd_per_hour for name, price in rows.items()}, *basis))


def _quote(config: RunPodDeploy, prices: Prices) -> Quote:
    """The dearest allowed pool counts, since any may have capacity."""
    wanted, count = (config.pools, config.gpus) if config.pools else ((config.cpu.id,), config.cpu.vcpus)
    for name in wanted:
        if name not in prices.of:
            what = f"{'pool' if config.pools else 'CPU flavour'} '{name}'"
            raise InputError(what, f"is not in RunPod's catalogue ({', '.join(sorted(prices.of))})", "choose another")
    hour, cap = max(prices.of[name] for name in wanted) * count, config.max_usd_per_month
    dearest = ("the price is that of the dearest GPU of the dearest pool",) if config.pools else ()
    return Quote(
        usd_per_busy_hour=hour,
        usd_per_idle_month=hour * config.min_workers * HOURS_PER_MONTH,
        usd_per_month_at_most=hour * config.max_workers * HOURS_PER_MONTH,
        hardware=f"{' or '.join(wanted)} x {count}",
        as_of=prices.as_of,
        source=prices.source,
        stops_at_usd=None if cap is None else Decimal(str(cap)),
        notes=(*dearest, START_DISPUTED, _workers(config)),
    )


def _workers(config: RunPodDeploy) -> str:
    """What it takes of the account's workers. RunPod itself is asked when something is deployed."""
    most, account = config.account_workers or ACCOUNT_WORKERS, "your account" if config.account_workers else "a new account"
    note = f"up to {config.max_workers} of the {most} workers that RunPod allows {account} over all its endpoints"
    return f"{note}, and 1 more while a new bundle is tried"
