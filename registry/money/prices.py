"""Prices as dated data. A price without a date and a source is not a price."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal

from registry.errors import NotFoundError
from registry.records import Record
from registry.settings import Settings


class Price(Record):
    """What an hour of a kind of machine costs, in US dollars, and how finely it is billed."""

    provider: str
    hardware: str
    usd_per_hour: Decimal
    billed_seconds: int
    as_of: date
    source: str


LOCAL = "this machine"


def local_price(settings: Settings) -> Price:
    """This machine's price: an assumption that the user sets, billed by the second."""
    told = "local_usd_per_hour" in settings.model_fields_set
    return Price(
        provider="local",
        hardware=LOCAL,
        usd_per_hour=settings.local_usd_per_hour,
        billed_seconds=1,
        as_of=datetime.now(UTC).date() if told else date(2026, 11, 22),
        source="as set by MODELYARD_LOCAL_USD_PER_HOUR" if told else "assumed; set MODELYARD_LOCAL_USD_PER_HOUR",
    )


def find_price(prices: list[Price], provider: str, hardware: str) -> Price:
    """The newest price of a provider's hardware."""
    found = [price for price in prices if (price.provider, price.hardware) == (provider, hardware)]
    if not found:
        raise NotFoundError(f"price of {provider} {hardware}", "is not in the catalogue", "see `modelyard costs`")
    return max(found, key=lambda price: price.as_of)
