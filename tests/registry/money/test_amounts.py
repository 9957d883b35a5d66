"""Amounts of money: rounded half up, formatted for people, exact sums, and never without their currency."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry.amounts import Money, format_usd, parse_rates, round_usd, total
from registry.errors import InputError


@pytest.mark.parametrize(
    ("amount", "text"),
    [
        ("0", "$0.00"), ("0.00", "$0.00"), ("1", "$1.00"), ("1.005", "$1.00"), ("24.09", "$24.09"), ("1234.5", "$1,234.50"),
        ("0.05", "$0.0500"), ("0.99", "$0.9900"), ("0.0004", "$0.0004"), ("0.000048", "$0.00005"), ("0.000001", "$0.000001"),
        ("-2.5", "-$2.50"), ("-0.05", "-$0.0500"),
    ],
)  # fmt: skip
def test_an_amount_has_cents_and_a_small_one_as_many_digits_as_it_takes(amount: str, text: str) -> None:
    assert format_usd(Decimal(amount)) == text


@given(st.decimals("0.00000001", 10**9, places=8))
def test_an_amount_that_is_not_zero_never_looks_like_zero(amount: Decimal) -> None:
    assert set(format_usd(amount)) & set("123456789")


def test_amounts_are_rounded_half_up_for_show() -> None:
    assert str(round_usd(Decimal("0.0000005"))) == "0.000001"
    assert str(round_usd(Decimal("36.505"), 2)) == "36.51"


def test_amounts_of_two_currencies_do_not_add_up() -> None:
    dollar, euro = Money(amount=Decimal("0.10")), Money(amount=Decimal("0.20"), currency="EUR")
    with pytest.raises(InputError, match="is not an amount of USD"):
        dollar + euro
    rates = parse_rates(["EUR=1.08"])
    assert total([dollar, euro.convert(rates)]) == Money(amount=Decimal("0.3160"))
    with pytest.raises(InputError, match=r"is not in USD; name a rate, e\.g\. --rate CHF="):
        Money(amount=Decimal(1), currency="CHF").convert(rates)


@pytest.mark.parametrize("text", ["EUR", "eur=1", "EUR=0", "EUR=-1", "EUR=nan", "EUR=1e3", "=1"])
def test_a_rate_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="is not a CODE=RATE"):
        parse_rates([text])


@given(st.lists(st.decimals(-(10**9), 10**9, places=6, allow_nan=False), max_size=20))
def test_sums_are_exact_whatever_their_order(amounts: list[Decimal]) -> None:
    coins = [Money(amount=amount) for amount in amounts]
    assert total(coins) == total(reversed(coins))
    assert total(coins).amount == sum(amounts, Decimal(0))
