"""What time costs. Exact decimals; time is rounded up to the unit that the provider bills in."""

from __future__ import annotations

import math
from decimal import ROUND_HALF_UP, Decimal

from registry.money.prices import Price

_HOUR = Decimal(3600)
_HOURS_PER_MONTH = Decimal(730)


def cost(seconds: float, price: Price) -> Decimal:
    """US dollars for a span of time. Raises ValueError for a span that is negative or not finite."""
    if not math.isfinite(seconds) or seconds < 0:
        message = f"a span of {seconds} s cannot be billed"
        raise ValueError(message)
    units = math.ceil(seconds / price.billed_seconds)
    return price.usd_per_hour * units * price.billed_seconds / _HOUR


def monthly(price: Price) -> Decimal:
    """US dollars for a month of 730 hours, always on."""
    return price.usd_per_hour * _HOURS_PER_MONTH


def dollars(amount: Decimal, places: int = 6) -> Decimal:
    """An amount rounded for a record or a page: half up, at most `places` decimals, no trailing exponent."""
    return amount.quantize(Decimal(1).scaleb(-places), rounding=ROUND_HALF_UP)
