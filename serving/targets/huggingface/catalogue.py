"""Hugging Face's hardware catalogue as dated prices: Inference Endpoints and Jobs, both billed by the minute."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

from registry.errors import UnavailableError
from registry.money.prices import Price
from serving.targets.huggingface.endpoints import Endpoints
from serving.targets.huggingface.quote import hardware_name

_SECONDS = {"second": 1, "minute": 60, "hour": 3600}


def catalogue_prices(endpoints: Endpoints, today: date) -> list[Price]:
    """Current prices; of one instance in several regions, the highest."""
    hours = dict[tuple[str, str], Decimal]()
    for instance in endpoints.hardware():
        key = ("endpoint", hardware_name(instance.vendor, instance.instance_type, instance.instance_size))
        hours[key] = max(Decimal(str(instance.price_per_hour)), hours.get(key, Decimal(0)))
    for flavour in endpoints.job_hardware():
        if flavour.unit_label not in _SECONDS:
            raise UnavailableError("Hugging Face", f"bills '{flavour.name}' by the {flavour.unit_label}", "update Modelyard")
        hours["job", flavour.name] = Decimal(flavour.unit_cost_micro_usd) * 3600 / _SECONDS[flavour.unit_label] / 1_000_000
    fields = {"provider": "huggingface", "billed_seconds": 60, "as_of": today, "source": "Hugging Face's hardware lists"}
    return [Price(product=product, hardware=name, usd_per_hour=usd, **fields) for (product, name), usd in hours.items()]
