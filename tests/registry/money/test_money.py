"""Money is exact, never negative, additive, and rounds time up as bills do."""

import math
from datetime import date
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry.amounts import round_usd
from registry.errors import DamagedFileError, NotFoundError
from registry.money.billing import (
    HOURS_PER_MONTH,
    billed_seconds,
    cost,
    exact_cost,
    exact_storage_cost,
    monthly_cost,
    storage_cost,
    total_billed_seconds,
)
from registry.money.catalogue import Catalogue, DatedPrice, published, read_catalogue, write_catalogue
from registry.money.fleet import Fleet, simulate
from registry.money.prices import Price, StoragePrice, local_price
from registry.settings import Settings


def price(usd: str = "3.60", billed_seconds: int = 1, as_of: date = date(2026, 11, 1)) -> Price:
    return Price(
        provider="p", hardware="h", usd_per_hour=Decimal(usd), billed_seconds=billed_seconds, as_of=as_of, source="test"
    )


def test_an_hour_costs_an_hour_and_a_begun_second_costs_a_second() -> None:
    assert cost(3600, price()) == Decimal("3.60")
    assert cost(0.1, price()) == Decimal("0.001")
    assert cost(1, price(billed_seconds=60)) == Decimal("0.06")
    assert monthly_cost(price("0.05")) == Decimal("36.50")


@given(st.integers(0, 10**6), st.integers(0, 10**6), st.sampled_from(published().current()))
def test_whole_units_add_up_exactly(count: int, other: int, row: DatedPrice) -> None:
    """A seven-hundredth of a cent has no end as a decimal; as a fraction it is exact, and the decimal is that to 27 digits."""
    for there in (price("0.07"), row.price):
        unit = there.billed_seconds
        parts = exact_cost(count * unit, there), exact_cost(other * unit, there), exact_cost((count + other) * unit, there)
        assert parts[0] + parts[1] == parts[2]
        assert abs(Fraction(cost((count + other) * unit, there)) - parts[2]) <= parts[2] / 10**27


@given(st.integers(0, 10**6), st.integers(0, 10**6))
def test_what_is_priced_by_the_second_adds_up_exactly_as_a_decimal(count: int, other: int) -> None:
    flex = published().find("runpod", "serverless", "AMPERE_16").price
    assert cost(count, flex) + cost(other, flex) == cost(count + other, flex)


@given(st.floats(0, 1e7), st.floats(0, 1e7))
def test_more_time_never_costs_less_and_nothing_is_negative(long: float, other: float) -> None:
    low, high = sorted((long, other))
    assert 0 <= cost(low, price()) <= cost(high, price())


@pytest.mark.parametrize("seconds", [-1, math.nan, math.inf])
def test_time_that_is_no_time_is_refused(seconds: float) -> None:
    with pytest.raises(ValueError, match="cannot be billed"):
        cost(seconds, price())


def test_this_machine_costs_what_the_user_sets_and_nothing_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MODELYARD_LOCAL_USD_PER_HOUR", "1.25")
    assert local_price(Settings()).usd_per_hour == Decimal("1.25")
    assert "as set" in local_price(Settings()).source
    monkeypatch.delenv("MODELYARD_LOCAL_USD_PER_HOUR")
    assert local_price(Settings()).usd_per_hour == 0
    assert "no rate is set" in local_price(Settings()).source


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
    assert round_usd(storage_cost(1, 300, disk), 9) == Decimal("0.000011574")
    assert storage_cost(1, 60, disk) == storage_cost(1, 300, disk)
    assert round_usd(storage_cost(1, 720 * 3600, disk), 6) == Decimal("0.100000")


def test_runpod_s_network_volumes_have_two_tiers() -> None:
    """0.07 for the first 1,000 GB, 0.05 for those above (the same page)."""
    volume, month = published().tariff("runpod", "network volume"), 720 * 3600
    assert round_usd(storage_cost(1000, month, volume), 2) == Decimal("70.00")
    assert round_usd(storage_cost(1500, month, volume), 2) == Decimal("95.00")


def test_hugging_face_s_own_example_of_an_endpoint_with_one_replica() -> None:
    """$0.067 an hour (inference-endpoints/support/pricing, "Basic Endpoint"); its month of $46.72 is of an instance that is gone."""
    now = published().find("huggingface", "endpoint", "intel-spr x2").price
    assert cost(3600, now) == Decimal("0.067")
    assert monthly_cost(now.model_copy(update={"usd_per_hour": Decimal("0.064")})) == Decimal("46.72")


def test_what_is_gone_is_not_offered_and_no_two_published_prices_are_of_one_thing() -> None:
    keys = [entry.price.key for entry in published().prices]
    assert len(set(keys)) == len(keys)
    assert not any("intel-icl" in " ".join(key) for key in keys)
    assert ("runpod", "serverless", "cpu5c vCPU") in keys


def test_hugging_face_s_own_example_of_an_endpoint_that_grows() -> None:
    """From one replica to three for 15 minutes of every hour: $0.75 an hour, $547.50 a month (there, "Advanced Endpoint")."""
    gpu = published().find("huggingface", "endpoint", "nvidia-t4 x1").price
    assert gpu.usd_per_hour == Decimal("0.50")
    hour = cost(3600, gpu) + 2 * cost(900, gpu)
    assert hour == Decimal("0.75")
    assert monthly_cost(gpu) + 2 * cost(182.5 * 3600, gpu) == Decimal("547.50")
    assert hour * HOURS_PER_MONTH == Decimal("547.50")


def test_the_simulation_bills_that_example_too() -> None:
    """Three pictures at once at the beginning of each hour, each of 15 minutes' work: two more replicas are there for it."""
    gpu = published().find("huggingface", "endpoint", "nvidia-t4 x1").price
    fleet = Fleet(min_workers=1, max_workers=3, service_s=900, idle_s=0)
    served = simulate(fleet, [3600.0 * hour for hour in range(730) for _ in range(3)])
    spans = [end - start for start, end in served.spans]
    assert spans == [900.0] * 2 * 730
    assert monthly_cost(gpu) + sum(cost(span, gpu) for span in spans) == Decimal("547.50")


def test_a_begun_minute_is_a_minute_at_hugging_face() -> None:
    """Prices by the hour, billed by the minute (the same page)."""
    cpu = published().find("huggingface", "endpoint", "intel-spr x1").price
    assert billed_seconds(61, cpu) == 120
    assert cost(3600, cpu) == Decimal("0.033")


# StoragePrice.

TARIFFS = {name: published().tariff("runpod", name) for name in ("container disk", "network volume")}
GIGABYTES, SPANS = st.floats(0, 5_000), st.floats(0, 1e7)


@pytest.mark.parametrize("tariff", TARIFFS.values(), ids=TARIFFS)
@given(GIGABYTES, GIGABYTES, SPANS, SPANS)
def test_storage_is_never_negative_and_grows_with_size_and_time(
    tariff: StoragePrice, size: float, more: float, long: float, longer: float
) -> None:
    assert 0 <= storage_cost(size, long, tariff) <= storage_cost(size + more, long, tariff)
    assert storage_cost(size, long, tariff) <= storage_cost(size, long + longer, tariff)
    assert storage_cost(0, long, tariff) == storage_cost(size, 0, tariff) == 0


@pytest.mark.parametrize("tariff", TARIFFS.values(), ids=TARIFFS)
@given(GIGABYTES, st.integers(0, 10**5), st.integers(0, 10**5))
def test_storage_adds_up_exactly_over_whole_units_of_time(tariff: StoragePrice, size: float, count: int, other: int) -> None:
    spans = [units * tariff.billed_seconds for units in (count, other, count + other)]
    parts = [exact_storage_cost(size, span, tariff) for span in spans]
    assert parts[0] + parts[1] == parts[2]
    assert abs(Fraction(storage_cost(size, spans[2], tariff)) - parts[2]) <= parts[2] / 10**27


@given(st.integers(0, 2_000), st.integers(0, 2_000), SPANS)
def test_sizes_add_up_exactly_where_the_price_is_one(size: int, other: int, long: float) -> None:
    """With tiers, more at once is never dearer than apart."""
    disk, volume = TARIFFS.values()
    assert exact_storage_cost(size, long, disk) + exact_storage_cost(other, long, disk) == exact_storage_cost(
        size + other, long, disk
    )
    apart = exact_storage_cost(size, long, volume) + exact_storage_cost(other, long, volume)
    assert exact_storage_cost(size + other, long, volume) <= apart


@given(st.lists(st.floats(0, 1e5), max_size=9))
def test_several_spans_are_rounded_up_one_by_one(spans: list[float]) -> None:
    disk = TARIFFS["container disk"]
    together = exact_storage_cost(5, total_billed_seconds(spans, disk.billed_seconds), disk)
    assert together == sum(exact_storage_cost(5, span, disk) for span in spans)


@pytest.mark.parametrize("wrong", [(-1, 1), (1, -1), (math.nan, 1), (1, math.inf)])
def test_storage_that_cannot_be_is_refused(wrong: tuple[float, float]) -> None:
    with pytest.raises(ValueError, match="cannot be billed"):
        storage_cost(*wrong, TARIFFS["container disk"])


# The catalogue.


def test_an_old_run_keeps_its_price(tmp_path: Path) -> None:
    first, then = price("1", as_of=date(2026, 1, 1)), price("2", as_of=date(2026, 11, 1))
    known = Catalogue(prices=[DatedPrice(price=known_price, seen=known_price.as_of) for known_price in (then, first)])
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
    known = Catalogue(prices=[DatedPrice(price=price("1", as_of=date(2026, 1, 1)), seen=date(2026, 1, 1))])
    same = known.with_fetched([price("1")], today)
    assert [(entry.price.as_of, entry.seen) for entry in same.prices] == [(date(2026, 1, 1), today)]
    changed = same.with_fetched([price("3")], date(2026, 11, 24))
    assert [entry.price.usd_per_hour for entry in changed.prices] == [1, 3]
    assert changed.find("p", "", "h", on=today).price.usd_per_hour == 1
    assert changed.with_fetched([price("3")], date(2026, 1, 5)).prices[1].seen == date(2026, 11, 24)  # a clock set back


def test_prices_grow_stale() -> None:
    entry = DatedPrice(price=price(), seen=date(2026, 9, 1))
    assert (entry.stale(date(2026, 10, 31)), entry.stale(date(2026, 11, 1))) == (False, True)
    assert entry.age(date(2026, 1, 1)) == 0


def test_a_catalogue_that_is_none_is_refused(tmp_path: Path) -> None:
    for broken in ('{"prices": 3}', "[]", "{", ""):
        (tmp_path / "prices.json").write_text(broken)
        with pytest.raises(DamagedFileError, match="is not a price catalogue; remove it"):
            read_catalogue(tmp_path / "prices.json")
    (tmp_path / "prices.json").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DamagedFileError, match="is not a price catalogue"):
        read_catalogue(tmp_path / "prices.json")
    with pytest.raises(DamagedFileError, match="is a folder"):
        read_catalogue(tmp_path)


@pytest.mark.parametrize("row", published().current(), ids=lambda entry: " ".join(entry.price.key))
def test_every_published_price_has_a_date_and_a_source(row: DatedPrice) -> None:
    assert row.price.as_of.year == 2026
    assert len(row.price.source) > 20
