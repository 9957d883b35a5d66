"""Amounts of money: exact, and never without their currency."""

from __future__ import annotations

import re
from collections.abc import Iterable
from decimal import ROUND_HALF_UP, Decimal

from pydantic import Field

from registry.errors import InputError
from registry.records import Record

USD = "USD"
_CODE = re.compile(r"[A-Z]{3}")


class Money(Record):
    """An exact amount in a currency (ISO 4217). Amounts of two currencies do not add up."""

    amount: Decimal = Field(allow_inf_nan=False)
    currency: str = Field(default=USD, pattern=r"^[A-Z]{3}$")

    def __add__(self, other: Money) -> Money:
        """Raises InputError for another currency."""
        if other.currency != self.currency:
            raise InputError(f"{other}", f"is not an amount of {self.currency}", "convert it first, at a rate that you name")
        return Money(amount=self.amount + other.amount, currency=self.currency)

    def __mul__(self, by: Decimal | int) -> Money:
        return Money(amount=self.amount * by, currency=self.currency)

    def convert(self, rates: Rates) -> Money:
        """The same in the currency of `rates`. Raises InputError where there is no rate."""
        if self.currency == rates.into:
            return self
        if (rate := rates.of.get(self.currency)) is None:
            remedy = f"name a rate, e.g. --rate {self.currency}=1.08 for {rates.into} a {self.currency}"
            raise InputError(f"{self}", f"is not in {rates.into}", remedy)
        return Money(amount=self.amount * rate, currency=rates.into)

    def __str__(self) -> str:
        return f"{round_usd(self.amount, 2)} {self.currency}"


class Rates(Record):
    """What one unit of other currencies is worth."""

    into: str = USD
    of: dict[str, Decimal] = Field(default={})


def parse_rates(texts: Iterable[str], into: str = USD) -> Rates:
    """`EUR=1.08` → a rate. Raises InputError."""
    rates = dict[str, Decimal]()
    for text in texts:
        code, _, rate = text.partition("=")
        if not _CODE.fullmatch(code) or not re.fullmatch(r"\d+(\.\d+)?", rate) or not Decimal(rate):
            raise InputError(f"rate '{text[:40]}'", "is not a CODE=RATE", f"write for example EUR=1.08: {into} for a euro")
        rates[code] = Decimal(rate)
    return Rates(into=into, of=rates)


def total(amounts: Iterable[Money], currency: str = USD) -> Money:
    """Their sum; nothing sums up to zero."""
    result = Money(amount=Decimal(0), currency=currency)
    for amount in amounts:
        result = result + amount
    return result


def round_usd(amount: Decimal, places: int = 6) -> Decimal:
    """An amount rounded for a record: half up, to `places` decimals, no exponent."""
    return amount.quantize(Decimal(1).scaleb(-places), rounding=ROUND_HALF_UP)


def format_usd(given: Decimal | float) -> str:
    """US dollars with cents; less than a dollar with four decimals, or with as many as it takes to be seen."""
    amount = Decimal(str(given))
    if amount < 0:
        return f"-{format_usd(-amount)}"
    if amount >= 1 or not amount:
        return f"${amount:,.2f}"
    return f"${amount:.{max(4, -amount.adjusted())}f}"
