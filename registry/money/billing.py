"""What use costs. Exact decimals; time is rounded up to the unit that the provider bills in.

Billed time is that of a machine or worker, from its start to its full stop: a cold start, the work and the idle timeout
after it all count. Where nothing is billed while a thing starts, the caller leaves that time out.
"""

from __future__ import annotations

import math
from decimal import Decimal

from registry.money.amounts import dollars
from registry.money.prices import Price, Storage

__all__ = ["HOURS_PER_MONTH", "billed_seconds", "cost", "dollars", "monthly", "storage"]

HOURS_PER_MONTH = Decimal(730)
"""365 days of 24 hours, over 12: what both RunPod and Hugging Face count a month as."""
_HOUR = Decimal(3600)


def billed_seconds(seconds: float, price: Price) -> int:
    """The seconds that are billed for a span: rounded up to the unit, and the minimum at least where anything was used."""
    if not math.isfinite(seconds) or seconds < 0:
        message = f"a span of {seconds} s cannot be billed"
        raise ValueError(message)
    units = math.ceil(Decimal(str(seconds)) / price.billed_seconds)
    return max(units * price.billed_seconds, price.least_seconds if seconds > 0 else 0)


def cost(seconds: float, price: Price) -> Decimal:
    """US dollars for a span of time. Raises ValueError for a span that is negative or not finite."""
    return price.usd_per_hour * billed_seconds(seconds, price) / _HOUR


def monthly(price: Price) -> Decimal:
    """US dollars for a month of 730 hours, always on."""
    return price.usd_per_hour * HOURS_PER_MONTH


def storage(gigabytes: float, seconds: float, tariff: Storage) -> Decimal:
    """US dollars for keeping so much for so long, by tier: each price holds from its tier's gigabytes on."""
    if not (math.isfinite(gigabytes) and math.isfinite(seconds)) or gigabytes < 0 or seconds < 0:
        message = f"{gigabytes} GB for {seconds} s cannot be billed"
        raise ValueError(message)
    units = math.ceil(Decimal(str(seconds)) / tariff.billed_seconds)
    months = Decimal(units * tariff.billed_seconds) / _HOUR / tariff.hours_per_month
    held, spent = Decimal(str(gigabytes)), Decimal(0)
    starts = [tier.from_gb for tier in tariff.tiers]
    for tier, end in zip(tariff.tiers, [*starts[1:], None], strict=True):
        within = (held if end is None else min(held, end)) - tier.from_gb
        spent += max(within, Decimal(0)) * tier.usd_per_gb_month * months
    return spent
