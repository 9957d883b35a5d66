"""Money is exact, never negative, additive, and rounds time up as bills do."""

import math
from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry.errors import InputError, NotFoundError
from registry.money.amounts import Money, parse_rates, total
from registry.money.billing import billed_seconds, cost, dollars, monthly, storage
from registry.money.catalogue import Catalogue, Listed, published, read_catalogue, write_catalogue
from registry.money.prices import Price, local_price
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


def test_amounts_are_rounded_half_up_for_show() -> None:
    assert str(dollars(Decimal("0.0000005"))) == "0.000001"
    assert str(dollars(Decimal("36.505"), 2)) == "36.51"


def test_this_machines_price_is_an_assumption_that_the_user_sets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MODELYARD_LOCAL_USD_PER_HOUR", "1.25")
    assert local_price(Settings()).usd_per_hour == Decimal("1.25")
    assert "as set" in local_price(Settings()).source
    monkeypatch.delenv("MODELYARD_LOCAL_USD_PER_HOUR")
    assert "assumed" in local_price(Settings()).source


@given(st.lists(st.tuples(st.decimals(0, 10**5, places=3).map(float), st.sampled_from([1, 60, 300])), max_size=5))
def test_a_bill_is_never_less_than_the_use_and_less_than_a_unit_more(spans: list[tuple[float, int]]) -> None:
    for seconds, unit in spans:
        assert seconds <= billed_seconds(seconds, price(billed_seconds=unit)) < seconds + unit


def test_a_minimum_is_billed_where_anything_was_used() -> None:
    least = price(billed_seconds=1).model_copy(update={"least_seconds": 60})
    assert [billed_seconds(span, least) for span in (0, 0.5, 59, 61)] == [0, 60, 60, 61]


# What providers publish as examples, to the cent and beyond.


def test_runpod_s_own_example_of_rounding() -> None:
    """A request of 2.3 seconds is billed as 3 (docs.runpod.io/serverless/pricing)."""
    flex = published().find("runpod", "serverless", "AMPERE_16").price
    assert billed_seconds(2.3, flex) == 3
    assert cost(2.3, flex) == Decimal("0.00048")


def test_runpod_s_own_figure_for_a_worker_s_disk() -> None:
    """$0.000011574 for a GB and 5 minutes, and five minutes are billed where one was used (the same page)."""
    disk = published().tariff("runpod", "container disk")
    assert dollars(storage(1, 300, disk), 9) == Decimal("0.000011574")
    assert storage(1, 60, disk) == storage(1, 300, disk)
    assert dollars(storage(1, 720 * 3600, disk), 6) == Decimal("0.100000")


def test_runpod_s_network_volumes_have_two_tiers() -> None:
    """0.07 for the first 1,000 GB, 0.05 for those above (the same page)."""
    volume, month = published().tariff("runpod", "network volume"), 720 * 3600
    assert dollars(storage(1000, month, volume), 2) == Decimal("70.00")
    assert dollars(storage(1500, month, volume), 2) == Decimal("95.00")


def test_hugging_face_counts_a_begun_minute() -> None:
    """Prices by the hour, billed by the minute (huggingface.co/docs/inference-endpoints/pricing)."""
    cpu = published().find("huggingface", "endpoint", "intel-spr x1").price
    assert billed_seconds(61, cpu) == 120
    assert dollars(cost(3600, cpu), 3) == Decimal("0.033")
    assert dollars(monthly(cpu), 2) == Decimal("24.09")


# The catalogue.


def test_an_old_run_keeps_its_price(tmp_path: Path) -> None:
    first, then = price("1", as_of=date(2026, 1, 1)), price("2", as_of=date(2026, 11, 1))
    known = Catalogue(prices=[Listed(price=one, seen=one.as_of) for one in (then, first)])
    assert known.find("p", "", "h").price is then
    assert known.find("p", "", "h", on=date(2026, 10, 31)).price is first
    assert known.find("p", "", "h", on=date(2020, 1, 1)).price is first
    with pytest.raises(NotFoundError, match=r"there: h"):
        known.find("p", "", "other")
    write_catalogue(tmp_path / "prices.json", known)
    again = read_catalogue(tmp_path / "prices.json")
    assert again.find("p", "", "h", on=date(2026, 10, 31)).price == first
    assert again.find("runpod", "serverless", "ADA_24").price.usd_per_hour == Decimal("1.116")


def test_a_refresh_adds_what_changed_and_remembers_that_it_looked() -> None:
    today = date(2026, 11, 23)
    known = Catalogue(prices=[Listed(price=price("1", as_of=date(2026, 1, 1)), seen=date(2026, 1, 1))])
    same = known.with_fetched([price("1")], today)
    assert [(one.price.as_of, one.seen) for one in same.prices] == [(date(2026, 1, 1), today)]
    changed = same.with_fetched([price("3")], date(2026, 11, 24))
    assert [one.price.usd_per_hour for one in changed.prices] == [1, 3]
    assert changed.find("p", "", "h", on=today).price.usd_per_hour == 1
    assert changed.with_fetched([price("3")], date(2026, 1, 5)).prices[1].seen == date(2026, 11, 24)  # a clock set back


def test_prices_grow_stale() -> None:
    one = Listed(price=price(), seen=date(2026, 9, 1))
    assert (one.stale(date(2026, 10, 31)), one.stale(date(2026, 11, 1))) == (False, True)
    assert one.age(date(2026, 1, 1)) == 0


def test_a_catalogue_that_is_none_is_refused(tmp_path: Path) -> None:
    (tmp_path / "prices.json").write_text('{"prices": 3}')
    with pytest.raises(InputError, match="is no price catalogue; remove it"):
        read_catalogue(tmp_path / "prices.json")


@pytest.mark.parametrize("row", published().current(), ids=lambda one: " ".join(one.price.key))
def test_every_published_price_has_a_date_and_a_source(row: Listed) -> None:
    assert row.price.as_of.year == 2026
    assert len(row.price.source) > 20


# Currencies.


def test_amounts_of_two_currencies_do_not_add_up() -> None:
    dollar, euro = Money(amount=Decimal("0.10")), Money(amount=Decimal("0.20"), currency="EUR")
    with pytest.raises(InputError, match="is no amount of USD"):
        dollar + euro
    rates = parse_rates(["EUR=1.08"])
    assert total([dollar, euro.converted(rates)]) == Money(amount=Decimal("0.3160"))
    with pytest.raises(InputError, match=r"is not in USD; name a rate, e\.g\. --rate CHF="):
        Money(amount=Decimal(1), currency="CHF").converted(rates)


@pytest.mark.parametrize("text", ["EUR", "eur=1", "EUR=0", "EUR=-1", "EUR=nan", "EUR=1e3", "=1"])
def test_a_rate_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="is no CODE=RATE"):
        parse_rates([text])


@given(st.lists(st.decimals(-(10**9), 10**9, places=6, allow_nan=False), max_size=20))
def test_sums_are_exact_whatever_their_order(amounts: list[Decimal]) -> None:
    coins = [Money(amount=one) for one in amounts]
    assert total(coins) == total(reversed(coins))
    assert total(coins).amount == sum(amounts, Decimal(0))
