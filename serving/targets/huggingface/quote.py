"""What an endpoint at Hugging Face costs, by a price list in this file; `catalogue.py` reads the account's live prices."""

from __future__ import annotations

from decimal import Decimal

from registry.errors import InputError
from registry.money.billing import HOURS_PER_MONTH
from serving.targets.contract import Quote
from serving.targets.huggingface.config import HuggingFaceDeploy

AS_OF = "2026-05-01"
SOURCE = "Hugging Face's pricing page, read by hand"
USD_PER_HOUR = {
    "aws": {
        "intel-icl": Decimal("0.032"),
        "intel-spr": Decimal("0.033"),
        "nvidia-t4": Decimal("0.50"),
        "nvidia-l4": Decimal("0.80"),
        "nvidia-a10g": Decimal("1.00"),
        "nvidia-l40s": Decimal("1.80"),
        "nvidia-a100": Decimal("2.50"),
        "nvidia-h100": Decimal("4.50"),
        "nvidia-h200": Decimal("5.00"),
    },
    "gcp": {"nvidia-h100": Decimal("10.00")},
    "azure": {"intel-xeon": Decimal("0.060")},
}
"""By vendor, of size x1; the others are multiples. Billed by the minute while an endpoint starts or runs."""


def endpoint_quote(config: HuggingFaceDeploy) -> Quote:
    """The cost of an endpoint."""
    table = USD_PER_HOUR.get(config.vendor, {})
    if config.instance not in table:
        known = ", ".join(table) or "none"
        what = f"instance '{config.instance}' at {config.vendor}"
        raise InputError(what, f"has no known price (known there: {known})", "choose one of them, or vendor: aws")
    hour = table[config.instance] * int(config.size.removeprefix("x"))
    return Quote(
        usd_per_busy_hour=hour,
        usd_per_idle_month=hour * config.min_replicas * HOURS_PER_MONTH,
        usd_per_month_at_most=hour * config.max_replicas * HOURS_PER_MONTH,
        hardware=f"{config.instance} {config.size}",
        as_of=AS_OF,
        source=SOURCE,
    )
