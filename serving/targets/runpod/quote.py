"""What an endpoint on RunPod costs, by the catalogue of the day."""

from __future__ import annotations

from datetime import datetime

from registry.errors import InputError
from registry.money.billing import HOURS_PER_MONTH
from serving.targets.contract import Quote
from serving.targets.runpod.client import RunPodClient
from serving.targets.runpod.config import RunPodDeploy
from serving.targets.runpod.hosts import ACCOUNT_WORKERS


def endpoint_quote(client: RunPodClient, config: RunPodDeploy, today: datetime) -> Quote:
    """The cost of the dearest allowed pool, since any may have capacity. Billed from a worker's start to its end."""
    if config.pools:
        pools = {gpu.pool: gpu.price.serverless for gpu in client.gpus() if gpu.pool and gpu.price.serverless is not None}
        kind, per_unit, count = "pool", pools, config.gpus
        wanted = config.pools
    else:
        kind, per_unit = "CPU flavour", {cpu.id: cpu.price.serverless_per_vcpu for cpu in client.cpus()}
        wanted, count = (config.cpu.id,), config.cpu.vcpus
    for name in wanted:
        if name not in per_unit:
            raise InputError(
                f"{kind} '{name}'", f"is not in RunPod's catalogue ({', '.join(sorted(per_unit))})", "choose another"
            )
    hour = max(per_unit[name] for name in wanted) * count
    return Quote(
        usd_per_busy_hour=hour,
        usd_per_idle_month=hour * config.min_workers * HOURS_PER_MONTH,
        usd_per_month_at_most=hour * config.max_workers * HOURS_PER_MONTH,
        hardware=f"{' or '.join(wanted)} x {count}",
        as_of=today.date().isoformat(),
        source="RunPod's catalogue, REST v2",
        note=_workers(config),
    )


def _workers(config: RunPodDeploy) -> str:
    """What it takes of the account's workers. RunPod itself is asked when something is deployed."""
    most, account = config.account_workers or ACCOUNT_WORKERS, "your account" if config.account_workers else "a new account"
    note = f"up to {config.max_workers} of the {most} workers that RunPod allows {account} over all its endpoints"
    return f"{note}, and 1 more while a new bundle is tried"
