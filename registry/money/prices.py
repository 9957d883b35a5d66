"""Prices as dated data. A price without a date and a source is not a price."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal

from pydantic import Field

from registry.records import Record
from registry.settings import Settings


class Price(Record):
    """What an hour of a kind of machine costs, in US dollars, and how finely it is billed."""

    provider: str
    product: str = ""
    hardware: str
    usd_per_hour: Decimal = Field(ge=0, allow_inf_nan=False)
    billed_seconds: int = Field(ge=1)
    least_seconds: int = Field(default=0, ge=0)
    as_of: date
    source: str

    @property
    def is_set(self) -> bool:
        """Whether somebody gave it, be it 0: this machine costs nothing where nobody did."""
        return self.source != NO_RATE

    @property
    def key(self) -> tuple[str, str, str]:
        """What it is the price of."""
        return (self.provider, self.product, self.hardware)


class Tier(Record):
    """A price that holds from so many gigabytes on."""

    from_gb: Decimal = Decimal(0)
    usd_per_gb_month: Decimal = Field(ge=0, allow_inf_nan=False)


class StoragePrice(Record):
    """What a month of a gigabyte costs. `hours_per_month` is what the provider counts a month as."""

    provider: str
    product: str
    tiers: list[Tier] = Field(min_length=1)
    billed_seconds: int = Field(ge=1)
    hours_per_month: int = 720
    as_of: date
    source: str


LOCAL = "this machine"
NO_RATE = "no rate is set; see MODELYARD_LOCAL_USD_PER_HOUR"


def today() -> date:
    """The day that prices are dated by: in UTC."""
    return datetime.now(UTC).date()


def local_price(settings: Settings) -> Price:
    """This machine's price, billed by the second: what the user sets. A machine that one has anyway costs nothing."""
    is_set = "local_usd_per_hour" in settings.model_fields_set
    return Price(
        provider="local",
        hardware=LOCAL,
        usd_per_hour=settings.local_usd_per_hour,
        billed_seconds=1,
        as_of=today(),
        source="as set by MODELYARD_LOCAL_USD_PER_HOUR" if is_set else NO_RATE,
    )
