"""RunPod's catalogue as dated prices: pods by GPU, Serverless by pool and by vCPU. All billed by the second."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

from registry.money.prices import Price
from serving.targets.runpod.client import RunPodClient
from serving.targets.runpod.quote import VCPU, pool_prices

_SOURCE = "RunPod's catalogue, REST v2"


def catalogue_prices(client: RunPodClient, today: date) -> list[Price]:
    """Current prices. A pool costs what its dearest GPU costs, since a worker may get any of them."""
    prices, gpus = dict[tuple[str, str], Decimal](), client.gpus()
    for gpu in gpus:
        for product, usd in (("pod", gpu.price.secure), ("pod community", gpu.price.community)):
            if usd:  # 0: the GPU is not offered so
                prices[product, gpu.id] = usd
    prices |= {("serverless", pool): usd for pool, usd in pool_prices(gpus).items()}
    prices |= {("serverless", f"{cpu.id}{VCPU}"): cpu.price.serverless_per_vcpu for cpu in client.cpus()}
    fields = {"provider": "runpod", "billed_seconds": 1, "as_of": today, "source": _SOURCE}
    return [Price(product=product, hardware=name, usd_per_hour=usd, **fields) for (product, name), usd in prices.items()]
