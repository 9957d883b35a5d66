"""Money is exact, never negative, additive, and rounds time up as bills do."""

import math
from datetime import date
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry.errors import NotFoundError
from registry.money.billing import cost, dollars, monthly
from registry.money.prices import Price, find_price, local_price
from registry.settings import Settings


def price(usd: str = "3.60", billed_seconds: int = 1, as_of: date = date(2026, 11, 1)) -> Price:
    return Price(
        provider="p", hardware="h", usd_per_hour=Decimal(usd), billed_seconds=billed_seconds, as_of=as_of, source="test"
    )


def test_an_hour_costs_an_hour_and_a_begun_second_costs_a_second() -> None:
    assert cost(3600, price()) == Decimal("3.60")
    assert cost(0.1, price()) == Decimal("0.001")
    assert cost(1, price(billed_seconds=60)) == Decimal("0.06")
    assert monthly(price("0.05")) == Decimal("36.50")


@given(st.integers(0, 10**6), st.integers(0, 10**6))
def test_whole_seconds_add_up_exactly(one: int, other: int) -> None:
    assert cost(one, price("0.07")) + cost(other, price("0.07")) == pytest.approx(cost(one + other, price("0.07")))


@given(st.floats(0, 1e7), st.floats(0, 1e7))
def test_more_time_never_costs_less_and_nothing_is_negative(one: float, other: float) -> None:
    low, high = sorted((one, other))
    assert 0 <= cost(low, price()) <= cost(high, price())


@pytest.mark.parametrize("seconds", [-1, math.nan, math.inf])
def test_time_that_is_no_time_is_refused(seconds: float) -> None:
    with pytest.raises(ValueError, match="cannot be billed"):
        cost(seconds, price())


def test_the_newest_price_counts_and_a_missing_one_is_said() -> None:
    old, new = price("1", as_of=date(2026, 1, 1)), price("2", as_of=date(2026, 11, 1))
    assert find_price([new, old], "p", "h") is new
    with pytest.raises(NotFoundError, match="not in the catalogue"):
        find_price([new], "p", "other")


def test_amounts_are_rounded_half_up_for_show() -> None:
    assert str(dollars(Decimal("0.0000005"))) == "0.000001"
    assert str(dollars(Decimal("36.505"), 2)) == "36.51"


def test_this_machines_price_is_an_assumption_that_the_user_sets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MODELYARD_LOCAL_USD_PER_HOUR", "1.25")
    assert local_price(Settings()).usd_per_hour == Decimal("1.25")
    assert "as set" in local_price(Settings()).source
    monkeypatch.delenv("MODELYARD_LOCAL_USD_PER_HOUR")
    assert "assumed" in local_price(Settings()).source
