"""Bills count once: split where months end, the later one where two overlap, and instead of what was measured."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry.money.bills import BillPart, BillSubjects, billed_endpoint, book_bills, resolve_overlaps
from registry.money.books import Spend, grouped
from registry.money.spans import IntervalSet, cut, month_of, seconds, split_amount
from registry.spending import Billed

START = datetime(2026, 10, 31, tzinfo=UTC)
ZERO = Decimal(0)


def at(hour: float) -> datetime:
    return START + timedelta(hours=hour)


def bill(start: float, end: float, usd: str, resource: str = "hand-production", provider: str = "runpod") -> Billed:
    fields = {"usd": Decimal(usd), "told": f"{usd} USD", "source": "bill.csv", "model": ""}
    return Billed(provider=provider, resource=resource, start=at(start), end=at(end), **fields)


def run(hour: float, usd: str, name: str = "r1", provider: str = "runpod", model: str = "hand") -> Spend:
    fields = {"model": model, "provider": provider, "person": "ada", "resource": name, "usd": Decimal(usd)}
    return Spend(what="training", basis="measured", at=at(hour), **fields)


def books(*bills: Billed, runs: tuple[Spend, ...] = ()) -> list[Spend]:
    return book_bills(resolve_overlaps(bills), BillSubjects({"hand-production": "hand"}, runs))


def total(spent: list[Spend]) -> Decimal:
    return sum((spend.usd for spend in spent), ZERO)


# Time.


def test_a_bill_across_a_month_s_end_is_split_by_its_time() -> None:
    """Twelve hours of October, 36 of November."""
    assert [(spend.month, spend.usd) for spend in books(bill(12, 60, "4"))] == [("2026-10", 1), ("2026-11", 3)]


def test_a_bill_of_three_months_adds_up_to_the_last_digit() -> None:
    spends = books(bill(0, 24 * 80, "0.1000001"))
    assert [spend.month for spend in spends] == ["2026-10", "2026-11", "2026-12", "2027-01"]
    assert total(spends) == Decimal("0.1000001")


def test_months_end_in_utc_whatever_zone_a_bill_names() -> None:
    kiritimati = datetime.fromisoformat("2026-11-01T10:00:00+14:00")  # still October
    assert cut(kiritimati, kiritimati + timedelta(hours=8))[0] == (at(20), at(24))
    assert month_of(kiritimati)[0] == datetime(2026, 10, 1, tzinfo=UTC)


# Overlaps.


def test_daily_bills_and_the_month_s_count_each_day_once() -> None:
    days = [bill(24 * day, 24 * day + 24, "1") for day in range(3)]
    assert total(books(*days, bill(0, 24 * 30, "31"))) == 31
    assert total(books(bill(0, 24 * 30, "30"), *days)) == 27 + 3


def test_the_bill_that_was_recorded_last_counts_and_the_other_keeps_the_rest_of_its_time() -> None:
    parts = resolve_overlaps([bill(0, 10, "10"), bill(4, 6, "7")])
    assert [(part.start, part.end, part.usd) for part in parts] == [
        (at(0), at(4), 4), (at(4), at(6), 7), (at(6), at(10), 4),
    ]  # fmt: skip


def test_a_corrected_amount_replaces_the_one_before() -> None:
    assert total(books(bill(0, 24, "3"), bill(0, 24, "4"))) == 4


def test_bills_of_two_things_or_two_providers_do_not_disturb_each_other_but_a_name_may_be_written_two_ways() -> None:
    assert total(books(bill(0, 24, "1"), bill(0, 24, "2", "other"), bill(0, 24, "4", provider="aws"))) == 7
    assert total(books(bill(0, 24, "1", provider="huggingface"), bill(0, 24, "2", provider="Hugging Face"))) == 2


SPANS = st.lists(st.tuples(st.integers(0, 300), st.integers(1, 200), st.integers(0, 5)), max_size=8)


@given(SPANS)
def test_each_hour_is_billed_once_by_the_last_bill_about_it(spans: list[tuple[int, int, int]]) -> None:
    """Of bills of so many dollars an hour, whatever they are, and however they overlap."""
    parts = resolve_overlaps([bill(low, low + long, str(rate * long)) for low, long, rate in spans])
    by_hour = {hour: rate for low, long, rate in spans for hour in range(low, low + long)}
    assert sum((part.usd for part in parts), ZERO) == sum(by_hour.values())
    assert sum((seconds(part.end - part.start) for part in parts), ZERO) == 3600 * len(by_hour)
    assert all(before.end <= after.start for before, after in pairwise(parts))


@given(SPANS, st.sampled_from(["", "2026-10", "2026-11"]))
def test_nothing_is_lost_or_negative_however_it_is_cut(spans: list[tuple[int, int, int]], by_day: str) -> None:
    parts = resolve_overlaps([bill(low, low + long, f"{rate}.0000017", f"thing {rate}") for low, long, rate in spans])
    spends = book_bills(parts, BillSubjects({}, []), by_day)
    assert total(spends) == sum((part.usd for part in parts), ZERO)
    assert all(spend.usd >= 0 for spend in spends)


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(1, 20)), max_size=12), st.integers(0, 50), st.integers(1, 20))
def test_free_time_is_what_nobody_took(spans: list[tuple[int, int]], start: int, long: int) -> None:
    taken = IntervalSet()
    for low, wide in spans:
        taken.add(at(low), at(low + wide))
    free = [hour for hour in range(start, start + long) if not any(low <= hour < low + wide for low, wide in spans)]
    gaps = taken.gaps(at(start), at(start + long))
    assert [hour for hour in range(100) if any(low <= at(hour) < high for low, high in gaps)] == free


@given(st.decimals(0, 1000, places=9), st.lists(st.integers(0, 9).map(Decimal), min_size=1, max_size=9))
def test_parts_add_up_to_the_amount(usd: Decimal, weights: list[Decimal]) -> None:
    amounts = split_amount(usd, weights)
    assert sum(amounts, ZERO) == usd
    assert all(amount >= 0 for amount in amounts)


# What a bill is of.


@pytest.mark.parametrize("ending", ["", "-next", "-canary"])
def test_what_stands_beside_an_endpoint_for_a_while_is_the_endpoint_s(ending: str) -> None:
    assert billed_endpoint(f"hand-production{ending}", {"hand-production"}) == "hand-production"
    (spend,) = books(bill(30, 54, "1", f"hand-production{ending}"))
    assert (spend.what, spend.model, spend.resource) == ("serving", "hand", "hand-production")


def test_a_bill_of_nothing_that_is_known_is_other_and_no_model_s() -> None:
    (spend,) = books(bill(0, 6, "0.30", "pod-1"))
    assert (spend.what, spend.basis, spend.model, spend.resource, spend.usd) == (
        "other",
        "billed",
        "",
        "pod-1",
        Decimal("0.30"),
    )
    for by, key in (("model", "(none)"), ("endpoint", "(other)"), ("run", "(other)"), ("person", "(nobody)")):
        (group,) = grouped([spend], by)
        assert (group.key, group.other_usd, group.serving_usd, group.runs) == (key, Decimal("0.30"), 0, 0)


def test_a_bill_that_names_runs_replaces_what_was_measured_of_them() -> None:
    runs = (run(2, "0.25", "a" * 32), run(3, "0.75", "b" * 32, model="foot"), run(4, "9", "c" * 32))
    spends = books(bill(0, 6, "2", f"pod-{'a' * 32} {'b' * 32}"), runs=runs)
    assert {(spend.model, spend.basis): spend.usd for spend in spends} == {
        ("hand", "billed"): Decimal("0.50"),
        ("foot", "billed"): Decimal("1.50"),
        ("hand", "measured"): Decimal(9),
    }
    assert total(books(bill(0, 6, "2", "mine"), runs=(run(2, "0.25", "mine"),))) == 2


def test_a_run_that_is_billed_in_two_months_is_one_run() -> None:
    spends = books(bill(12, 60, "4", "r1"), runs=(run(59, "1"),))
    (group,) = grouped(spends, "model")
    assert (group.runs, group.usd, group.billed_usd) == (1, 4, 4)
    assert {spend.month: spend.usd for spend in spends} == {"2026-10": 1, "2026-11": 3}


@pytest.mark.parametrize(("billed", "other"), [("0.30", "0.05"), ("0.25", "0"), ("0.10", "0")])
def test_a_machine_s_bill_holds_the_training_that_was_measured_there_meanwhile(billed: str, other: str) -> None:
    """Nothing says which run a pod worked for: together they come to the larger of both, never to their sum."""
    spends = books(bill(0, 6, billed, "pod-1"), runs=(run(2, "0.25"),))
    assert sum((spend.usd for spend in spends if spend.what == "other"), ZERO) == Decimal(other)
    assert total(spends) == max(Decimal(billed), Decimal("0.25"))
    assert grouped(spends, "model")[0].runs == 1


def test_each_run_is_in_one_bill_only() -> None:
    spends = books(bill(0, 6, "0.10", "pod-1"), bill(0, 6, "1", "pod-2"), runs=(run(2, "0.25"),))
    assert total(spends) == Decimal("1.10")
    assert sum((spend.usd for spend in spends if spend.basis == "billed"), ZERO) == Decimal("1.10")


@pytest.mark.parametrize(
    "bill_",
    [bill(0, 6, "1", "volume-7"), bill(0, 6, "1", "StoragePrice of May"), bill(3, 6, "1", "p"), bill(0, 6, "1", "p", "aws")],
)
def test_training_is_not_in_a_bill_for_storage_or_of_another_time_or_provider(bill_: Billed) -> None:
    assert total(books(bill_, runs=(run(2, "0.25"),))) == Decimal("1.25")


@given(SPANS, st.lists(st.tuples(st.integers(0, 500), st.integers(0, 9)), max_size=6))
def test_bills_and_training_never_come_to_more_than_both_or_less_than_either(
    spans: list[tuple[int, int, int]], trained: list[tuple[int, int]]
) -> None:
    parts = resolve_overlaps([bill(low, low + long, str(usd), f"pod-{usd}") for low, long, usd in spans])
    runs = [run(hour, str(usd), f"run{index}") for index, (hour, usd) in enumerate(trained)]
    billed, measured = sum((part.usd for part in parts), ZERO), total(runs)
    sum_of_all = total(book_bills(parts, BillSubjects({}, runs)))
    assert max(billed, measured) <= sum_of_all <= billed + measured


def test_a_part_is_told_with_its_bill() -> None:
    row = bill(0, 6, "1")
    assert resolve_overlaps([row]) == [BillPart(row, at(0), at(6), Decimal(1))]
