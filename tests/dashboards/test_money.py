"""What the pages about money show: budgets as they stand, a burn-down that ends now, idle spend in clouds."""

from __future__ import annotations

import sys
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from worlds import budget, entries_of, fill

from dashboards.money.spending import bills_table, budgets, burn_down, month_end, serving_costs
from pipelines.money.budgets import standing_of
from registry.events import Deployed, PolicySet, Promoted, Trained
from registry.memory import MemoryEntry
from registry.opening import ledger_of
from registry.reports.costs import CostReport
from registry.settings import Settings
from registry.spending import Billed, BudgetOverridden
from registry.stages import Stage
from serving.series.polling import EndpointReading

sys.path.insert(0, str(Path(__file__).parent.parent))
from cputime import cpu_seconds

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)
KEY = {"model": "hand", "version": 1, "created_ms": 1, "digest": "d"}


def rows(*events) -> list[MemoryEntry]:
    return [MemoryEntry(seq, at, event) for seq, (at, event) in enumerate(events, 1)]


def policy(usd: str = "50") -> PolicySet:
    return PolicySet(model="hand", actor="ada", job={"budget": {"usd_per_month": usd}}, policy_hash="p")


def deployed(month: str = "73", target: str = "local") -> Deployed:
    fields = {"stage": Stage.PRODUCTION, "target": target, "url": "u", "bundle": "b", "smoke_images": 8}
    return Deployed(**KEY, usd_per_month=Decimal(month), price_as_of="2026-11-01", **fields)


def trained(usd: str, name: str = "r") -> Trained:
    fields = {"seconds": 1.0, "hardware": "local: here", "usd": Decimal(usd), "price_as_of": "2026-11-01", "run_id": name}
    return Trained(**KEY, trainer="torch", dataset="x", **fields)


def bill(start: datetime, end: datetime, usd: str) -> Billed:
    fields = {"usd": Decimal(usd), "told": f"{usd} USD", "source": "x", "resource": "hand-production"}
    return Billed(model="hand", provider="runpod", start=start, end=end, **fields)


def overridden() -> BudgetOverridden:
    fields = {"spent_usd": Decimal(2), "limit_usd": Decimal(1), "reason": "the fair", "actor": "eve"}
    return BudgetOverridden(model="hand", month="2026-11", **fields)


# Budgets.


def test_a_budget_that_was_overridden_is_so_on_the_page_as_on_the_command_line() -> None:
    first = NOON - timedelta(days=3)
    before = rows((first, policy("1")), (first, trained("2")))
    after = [*before, MemoryEntry(3, NOON, overridden())]
    for entries, override, state in ((before, "", "over"), (after, "overridden by eve", "overridden")):
        month = budgets(entries, NOON)["hand"]
        assert (month.spent, month.limit, month.warn_at, month.overridden) == (2, 1, Decimal("0.8"), override)
        assert standing_of(entries, "hand", NOON).state == state
    assert budgets(after, NOON + timedelta(days=30))["hand"].overridden == ""


def test_a_burn_down_is_actual_until_now_and_expected_from_the_end_of_today_on() -> None:
    """Ten cents an hour since the 20th: at noon of the 24th 108 hours are spent, and 12 more are expected by its end."""
    start = datetime(2026, 11, 20, tzinfo=UTC)
    points = burn_down(rows((start, policy()), (start, deployed())), NOON)
    actual = points[points["kind"] == "actual"].set_index("day")["usd"]
    expected = points[points["kind"] == "expected"].set_index("day")["usd"]
    assert list(actual.index) == [f"2026-11-{day:02d}" for day in range(1, 25)]
    assert list(expected.index) == [f"2026-11-{day:02d}" for day in range(24, 31)]
    assert (actual["2026-11-19"], actual["2026-11-20"]) == (50, pytest.approx(47.6))
    assert actual["2026-11-24"] == pytest.approx(50 - 10.8)
    assert expected["2026-11-24"] == pytest.approx(50 - 12, abs=1e-3)
    assert expected["2026-11-30"] == pytest.approx(50 - 26.4, abs=1e-3)


def test_a_burn_down_agrees_with_the_budget_and_with_the_month_s_end_whatever_was_billed() -> None:
    first = datetime(2026, 11, 1, tzinfo=UTC)
    entries = rows(
        (first - timedelta(days=9), policy()), (first - timedelta(days=9), deployed()),
        (NOON - timedelta(days=5), trained("1.25")), (NOON, bill(first, first + timedelta(days=60), "20")),
    )  # fmt: skip
    points = burn_down(entries, NOON)
    actual = points[points["kind"] == "actual"]["usd"]
    assert actual.iloc[-1] == pytest.approx(50 - float(budgets(entries, NOON)["hand"].spent))
    assert points["usd"].iloc[-1] == pytest.approx(50 - float(month_end(entries, NOON)["hand"]), abs=1e-4)
    assert list(points["usd"]) == sorted(points["usd"], reverse=True)


@given(st.lists(st.tuples(st.integers(0, 29 * 24), st.integers(0, 9)), max_size=8), st.integers(0, 29 * 24))
def test_what_is_left_never_grows(costs: list[tuple[int, int]], hour: int) -> None:
    first = datetime(2026, 11, 1, tzinfo=UTC)
    seen = [(first + timedelta(hours=at), trained(str(usd))) for at, usd in sorted(costs) if at <= hour]
    entries = rows((first, policy()), (first, deployed()), *seen)
    points = burn_down(entries, first + timedelta(hours=hour))
    assert list(points["usd"]) == sorted(points["usd"], reverse=True)


def test_five_thousand_trainings_burn_down_at_once() -> None:
    first = datetime(2026, 11, 1, tzinfo=UTC)
    events = [(first + timedelta(minutes=number), trained("0.01", str(number))) for number in range(5_000)]
    entries = rows((first, policy()), (first, deployed()), *events)
    assert len(burn_down(entries, NOON)) == 31
    assert cpu_seconds(lambda: burn_down(entries, NOON)) < 1


def test_a_month_is_expected_to_come_to_what_is_spent_and_the_quotes_until_its_end(tmp_path: Path) -> None:
    fill(tmp_path)
    entries = entries_of(tmp_path)
    at = next(entry.at for entry in entries if isinstance(entry.event, Deployed))
    end = (at.replace(day=1) + timedelta(days=32)).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    hours = Decimal(str((end - timedelta(seconds=1) - at).total_seconds())) / 3600
    expected = Decimal("36.50") * hours / 730 + 3 * Decimal("0.000834")
    assert month_end(entries, at)["hand"] == pytest.approx(expected, rel=Decimal("1e-6"))


def test_a_budget_burns_down_to_what_is_left(tmp_path: Path) -> None:
    fill(tmp_path)
    budget(tmp_path, "50")
    entries = entries_of(tmp_path)
    now = entries[-1].at
    points = burn_down(entries, now)
    assert list(points["usd"]) == sorted(points["usd"], reverse=True)
    assert points["usd"].iloc[0] == (50 if now.day > 1 else points["usd"].iloc[0])
    assert points["usd"].iloc[-1] == pytest.approx(50 - float(month_end(entries, now)["hand"]), abs=1e-4)
    assert set(points["kind"]) <= {"actual", "expected"}


def test_a_bill_is_beside_the_quote_for_its_time(tmp_path: Path) -> None:
    fill(tmp_path)
    ledger = ledger_of(Settings(home=tmp_path))
    at = entries_of(tmp_path)[-1].at
    span = {"start": at + timedelta(hours=1), "end": at + timedelta(hours=3)}
    ledger.append(
        Billed(
            model="hand", provider="local", resource="hand-production", **span, usd=Decimal("0.2"), told="0.2 USD", source="x"
        )
    )
    table = bills_table(entries_of(tmp_path), at + timedelta(hours=4))
    assert list(table["billed"]) == [0.2]
    assert table["quoted"][0] == pytest.approx(36.5 / 730 * 2)
    assert bills_table(entries_of(tmp_path), at)["quoted"][0] == 0  # nothing stood there yet


# Sums.


def test_a_month_s_money_is_shared_by_that_month_s_promotions() -> None:
    october, promotion = (
        NOON - timedelta(days=40),
        {"stage": Stage.PRODUCTION, "previous": None, "actor": "ada", "findings": []},
    )
    second = KEY | {"version": 2, "created_ms": 2}
    entries = rows(
        (october, trained("1")),
        (october, Promoted(**KEY, **promotion)),
        (NOON, trained("3", "s")),
        (NOON, Promoted(**second, **promotion)),
    )
    report = CostReport.of(entries, NOON)
    assert report.sums("model", "2026-11").groups[0].per_promoted_usd == 3
    assert report.sums("model").groups[0].per_promoted_usd == 2


# Serving.


def test_a_cloud_s_idle_spend_is_its_quote_beside_what_was_billed() -> None:
    first = datetime(2026, 11, 1, tzinfo=UTC)
    event = deployed("14.60", "runpod")
    entries = rows((first, event), (NOON, bill(first, first + timedelta(days=10), "3")))
    asleep = EndpointReading("hand production", "hand/1", "runpod", "u", "not polled, so that it can sleep")
    table = serving_costs(entries, [event], [asleep], NOON)
    assert list(table.loc[0, ["endpoint", "per month", "billed this month", "idle per month"]]) == [
        "hand production",
        14.6,
        3.0,
        14.6,
    ]
    assert table["per 1,000 requests"].isna().all()


def test_a_thousand_requests_cost_what_was_billed_where_a_bill_is_there_and_else_the_quote() -> None:
    """Ten hours at ten cents by the quote; with half of them billed at a dollar, 50 cents and the dollar."""
    start = NOON - timedelta(hours=10)
    counted = EndpointReading("hand production", "hand/1", "local", "u", "up", 500.0, seconds=36_000.0, busy_seconds=9_000.0)
    entries = rows((start, deployed()))
    table = serving_costs(entries, [deployed()], [counted], NOON)
    assert table["per 1,000 requests"][0] == pytest.approx(2.0)
    assert table["idle per month"][0] == pytest.approx(73 * 0.75)
    assert table["billed this month"].isna().all()
    entries += rows((NOON, bill(start, start + timedelta(hours=5), "1")))
    assert serving_costs(entries, [deployed()], [counted], NOON)["per 1,000 requests"][0] == pytest.approx(3.0)


def test_an_endpoint_without_requests_or_uptime_divides_by_nothing() -> None:
    silent = EndpointReading("hand production", "hand/1", "local", "u", "up", 0.0, seconds=0.0, busy_seconds=0.0)
    table = serving_costs(rows((NOON, deployed("0"))), [deployed("0")], [silent], NOON)
    assert table["per 1,000 requests"].isna().all()
    assert len(serving_costs([], [], [], NOON).columns) == 6
