"""What use costs. Exact decimals; time is rounded up to the unit that the provider bills in.

Billed time is that of a machine or worker, from its start to its full stop: a cold start, the work and the idle timeout
after it all count. Where nothing is billed while a thing starts, the caller leaves that time out.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from decimal import Decimal
from fractions import Fraction

from registry.money.prices import Price, StoragePrice

HOURS_PER_MONTH = Decimal(730)
"""365 days of 24 hours, over 12: what both RunPod and Hugging Face count a month as."""
_HOUR_S = 3600


def billed_seconds(seconds: float, price: Price) -> int:
    """The seconds that are billed for a span: rounded up to the unit, and the minimum at least where anything was used."""
    if not math.isfinite(seconds) or seconds < 0:
        message = f"a span of {seconds} s cannot be billed"
        raise ValueError(message)
    return max(_whole_units(seconds, price.billed_seconds), price.least_seconds if seconds > 0 else 0)


def exact_cost(seconds: float, price: Price) -> Fraction:
    """US dollars for a span of time, with nothing rounded: spans of whole units add up exactly.

    Raises ValueError for a span that is negative or not finite.
    """
    over, under = price.usd_per_hour.as_integer_ratio()
    return Fraction(over * billed_seconds(seconds, price), under * _HOUR_S)


def cost(seconds: float, price: Price) -> Decimal:
    """The same as a decimal of 28 digits. Raises ValueError for a span that is negative or not finite."""
    return _decimal(exact_cost(seconds, price))


def monthly_cost(price: Price) -> Decimal:
    """US dollars for a month of 730 hours, always on."""
    return price.usd_per_hour * HOURS_PER_MONTH


def exact_storage_cost(gigabytes: float, seconds: float, tariff: StoragePrice) -> Fraction:
    """US dollars for keeping so much for so long, by tier, with nothing rounded but time, up to the unit that is billed.

    Each price holds from its tier's gigabytes on. Raises ValueError for what is negative or not finite.
    """
    if not (math.isfinite(gigabytes) and math.isfinite(seconds)) or gigabytes < 0 or seconds < 0:
        message = f"{gigabytes} GB for {seconds} s cannot be billed"
        raise ValueError(message)
    units = math.ceil(Decimal(str(seconds)) / tariff.billed_seconds)
    held, each = Decimal(str(gigabytes)), Decimal(0)
    starts = [tier.from_gb for tier in tariff.tiers]
    for tier, end in zip(tariff.tiers, [*starts[1:], None], strict=True):
        within = (held if end is None else min(held, end)) - tier.from_gb
        each += max(within, Decimal(0)) * tier.usd_per_gb_month
    return Fraction(each) * units * tariff.billed_seconds / (_HOUR_S * tariff.hours_per_month)


def storage_cost(gigabytes: float, seconds: float, tariff: StoragePrice) -> Decimal:
    """The same as a decimal of 28 digits."""
    return _decimal(exact_storage_cost(gigabytes, seconds, tariff))


def total_billed_seconds(spans: Iterable[float], unit: int) -> int:
    """The seconds that are billed for several spans, each of them rounded up to the unit."""
    return sum(_whole_units(span, unit) for span in spans)


def _whole_units(seconds: float, unit: int) -> int:
    """The least multiple of the unit that is not below the span: exact, because the unit and a float's ceiling are whole."""
    return -(-math.ceil(seconds) // unit) * unit


def _decimal(exact: Fraction) -> Decimal:
    return Decimal(exact.numerator) / exact.denominator
