"""The books: what was spent, by the ledger alone; bills beat quotes; nothing is counted twice or lost."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry.events import AnyEvent, Archived, Deployed, PolicySet, Promoted, Released, Trained, parse_event
from registry.money.billing import HOURS_PER_MONTH
from registry.reports.accounts import (
    budget_status,
    budget_statuses,
    came_to_production,
    cold_starts,
    cost_between,
    grouped,
    limits,
    spending,
)
from registry.spending import Billed, BudgetOverridden, TrainingFailed
from registry.stages import Stage

START = datetime(2026, 10, 31, 0, 0, tzinfo=UTC)


@dataclass
class Row:
    at: datetime
    event: AnyEvent
    seq: int = 0
    flaw: str | None = None


def hours(count: float) -> datetime:
    return START + timedelta(hours=count)


def key(version: int = 1, model: str = "hand") -> dict:
    return {"model": model, "version": version, "created_ms": version, "digest": "d" * 64}


def trained(version: int = 1, usd: str = "0.50", actor: str = "ada", model: str = "hand", on: str = "local: here") -> Trained:
    spent = {"seconds": 1.0, "hardware": on, "usd": Decimal(usd), "price_as_of": "2026-11-01", "actor": actor}
    return Trained(**key(version, model), trainer="torch", run_id=f"run{version}", dataset="x", **spent)


def failed(usd: str = "0.25") -> TrainingFailed:
    spent = {"seconds": 1.0, "hardware": "runpod: A100", "usd": Decimal(usd), "price_as_of": "2026-11-01", "actor": "bob"}
    return TrainingFailed(model="hand", trainer="yolo", run_id="lost", reason="out of memory", **spent)


def deployed(version: int = 1, month: str = "730", target: str = "local") -> Deployed:
    fields = {"stage": Stage.PRODUCTION, "target": target, "url": "u", "bundle": f"b{version}", "smoke_images": 8}
    return Deployed(**key(version), usd_per_month=Decimal(month), price_as_of="2026-11-01", **fields)


def bill(start: datetime, end: datetime, usd: str, resource: str = "hand-production") -> Billed:
    fields = {"usd": Decimal(usd), "told": f"{usd} USD", "source": "bill.csv"}
    return Billed(model="hand", provider="runpod", resource=resource, start=start, end=end, **fields)


def ledger(*rows: tuple[datetime, AnyEvent]) -> list[Row]:
    return [Row(at, event, number) for number, (at, event) in enumerate(rows, 1)]


def test_runs_that_failed_are_paid_for_too() -> None:
    spent = spending(ledger((hours(1), trained()), (hours(2), failed())), hours(3))
    assert [(line.what, line.provider, line.person, line.usd) for line in spent] == [
        ("training", "local", "ada", Decimal("0.50")),
        ("failed training", "runpod", "bob", Decimal("0.25")),
    ]


def test_an_endpoint_costs_its_quote_by_the_hour_in_each_month_that_it_stood_in() -> None:
    """A dollar an hour: 24 hours of October, 30 of November."""
    spent = spending(ledger((hours(0), deployed())), hours(54))
    assert [(line.month, line.usd) for line in spent] == [("2026-10", Decimal(24)), ("2026-11", Decimal(30))]


@pytest.mark.parametrize(
    "end", [deployed(2, "0"), Archived(**key(1), actor="ada"), Released(**key(1), stage=Stage.PRODUCTION, reason="x")]
)
def test_it_stands_until_the_next_one_or_until_the_stage_is_given_up(end: AnyEvent) -> None:
    spent = spending(ledger((hours(0), deployed()), (hours(10), end)), hours(500))
    assert [line.usd for line in spent] == [Decimal(10)]


def test_a_bill_beats_the_quote_for_the_time_that_it_covers() -> None:
    rows = ledger((hours(0), deployed()), (hours(30), bill(hours(4), hours(14), "3.33")))
    spent = spending(rows, hours(20))
    assert [(line.basis, line.usd) for line in spent] == [("quoted", Decimal(10)), ("billed", Decimal("3.33"))]
    (group,) = grouped(spent, "model")
    assert (group.usd, group.billed_usd) == (Decimal("13.33"), Decimal("3.33"))


def test_a_corrected_bill_replaces_the_one_before() -> None:
    rows = ledger((hours(1), bill(hours(0), hours(1), "3")), (hours(2), bill(hours(0), hours(1), "4")))
    assert [line.usd for line in spending(rows, hours(3))] == [Decimal(4)]


def test_a_row_that_was_touched_counts_for_nothing() -> None:
    rows = ledger((hours(1), trained()))
    rows[0].flaw = "it was changed"
    assert spending(rows, hours(2)) == []


def test_a_clock_that_was_set_back_makes_nothing_negative() -> None:
    rows = ledger((hours(10), deployed()), (hours(5), deployed(2)))
    assert all(line.usd >= 0 for line in spending(rows, hours(0)))


def test_sums_by_each_thing_are_the_same_money() -> None:
    rows = ledger(
        (hours(1), trained(1)), (hours(2), trained(2, "1.5", "bob")), (hours(3), failed()), (hours(4), deployed()),
        (hours(30), trained(1, "2", model="foot", on="runpod: A100")),
    )  # fmt: skip
    spent = spending(rows, hours(40))
    for by in ("run", "experiment", "model", "person", "provider", "month", "endpoint"):
        groups = grouped(spent, by)
        assert sum(entry.usd for entry in groups) == sum(entry.usd for entry in spent)
        assert [entry.usd for entry in groups] == sorted((entry.usd for entry in groups), reverse=True)
    by_person = {entry.key: entry for entry in grouped(spent, "person")}
    assert by_person["bob"].failed_usd == Decimal("0.25")
    assert by_person["(nobody)"].serving_usd == Decimal(36)


def test_a_model_that_came_to_production_costs_all_that_was_tried_for_it() -> None:
    promotion = {"previous": None, "actor": "ada", "findings": []}
    rows = ledger(
        (hours(1), trained(1)), (hours(2), trained(2)), (hours(3), failed("2")),
        (hours(4), Promoted(**key(2), stage=Stage.PRODUCTION, **promotion)),
        (hours(5), Promoted(**key(2), stage=Stage.PRODUCTION, **promotion, again=4)),
        (hours(6), Promoted(**key(1), stage=Stage.STAGING, **promotion)),
    )  # fmt: skip
    (group,) = grouped(spending(rows, hours(7)), "model", lambda model: came_to_production(rows, model))
    assert (group.runs, group.failed, group.promoted, group.per_promoted_usd) == (3, 1, 1, Decimal("3.00"))


def test_a_month_is_shared_by_the_versions_that_first_came_to_production_in_it() -> None:
    promotion = {"stage": Stage.PRODUCTION, "previous": None, "actor": "ada", "findings": []}
    rows = ledger(
        (hours(1), trained(1, "1")), (hours(2), Promoted(**key(1), **promotion)),
        (hours(30), trained(2, "2")), (hours(31), Promoted(**key(2), **promotion)),
        (hours(32), Promoted(**key(1), **promotion, again=2)),
    )  # fmt: skip
    assert [came_to_production(rows, "hand", month) for month in ("2026-10", "2026-11", "2026-12", None)] == [1, 1, 0, 2]
    november = [line for line in spending(rows, hours(40)) if line.month == "2026-11"]
    (group,) = grouped(november, "model", lambda model: came_to_production(rows, model, "2026-11"))
    assert (group.promoted, group.per_promoted_usd) == (1, Decimal(2))


def test_a_run_costs_its_experiment_where_that_is_known_and_else_its_model_s() -> None:
    rows = ledger((hours(1), trained(1, "1")), (hours(2), trained(2, "2")), (hours(3), deployed(2, "730")))
    groups = grouped(spending(rows, hours(4)), "experiment", None, {"run1": "sweep of May"})
    assert {group.key: group.usd for group in groups} == {"hand": Decimal(3), "sweep of May": Decimal(1)}


def test_days_add_up_to_months_exactly() -> None:
    rows = ledger((hours(0), deployed(month="36.50")), (hours(900), bill(hours(100), hours(170), "7.77")))
    whole, days = spending(rows, hours(1000)), spending(rows, hours(1000), "2026-11")
    assert len(days) > len(whole)
    assert len({entry.at.date() for entry in days if entry.month == "2026-11"}) == 30
    for by in ("month", "endpoint"):
        assert [(entry.key, entry.usd, entry.billed_usd) for entry in grouped(days, by)] == [
            (entry.key, entry.usd, entry.billed_usd) for entry in grouped(whole, by)
        ]


# Budgets.


def policy(usd: str | None, model: str = "hand") -> PolicySet:
    job = {"budget": {"usd_per_month": usd, "warn_at": 0.5}} if usd else {}
    return PolicySet(model=model, actor="ada", job=job, policy_hash="p")


def override(month: str = "2026-10") -> BudgetOverridden:
    fields = {"spent_usd": Decimal(2), "limit_usd": Decimal(1), "reason": "the fair", "actor": "eve"}
    return BudgetOverridden(model="hand", month=month, **fields)


def test_where_a_budget_stands_is_told_the_same_for_one_model_and_for_all() -> None:
    rows = ledger((hours(0), policy("1")), (hours(0), policy("9", "foot")), (hours(1), trained(1, "0.5")))
    for entries, state in (
        (rows[:2], "ok"),
        (rows, "warn"),
        ([*rows, Row(hours(2), trained(2, "2"))], "over"),
        ([*rows, Row(hours(2), trained(2, "2")), Row(hours(3), override())], "overridden"),
        ([*rows, Row(hours(2), trained(2, "2")), Row(hours(3), override("2026-09"))], "over"),
        ([*rows, Row(hours(2), trained(2, "2")), Row(hours(3), override(), flaw="touched")], "over"),
        ([*rows, Row(hours(3), override())], "warn"),
    ):
        alone, together = (
            budget_status(entries, "hand", hours(4), limits(entries)["hand"]),
            budget_statuses(entries, hours(4)),
        )
        assert (alone.state, alone) == (state, together["hand"])
        assert together["foot"].state == "ok"
    assert budget_status(rows, "hand", hours(4), None).state == "none"
    assert limits([*rows, Row(hours(5), policy(None))]).keys() == {"foot"}


def test_a_bill_that_came_before_its_endpoint_was_known_counts_for_its_model_s_budget() -> None:
    early = bill(hours(0), hours(6), "3").model_copy(update={"model": ""})
    rows = ledger((hours(0), policy("4")), (hours(7), early), (hours(8), deployed(month="0")))
    assert budget_status(rows, "hand", hours(9), limits(rows)["hand"]).spent_usd == 3


# Starts that were measured.


def test_a_cold_start_that_was_measured_with_this_model_is_preferred_to_that_of_another() -> None:
    def started(version: int, model: str, seconds: float | None, target: str = "runpod") -> Deployed:
        fields = key(version, model) | {"cold_start_s": seconds, "target": target}
        return deployed(target=target).model_copy(update=fields)

    rows = ledger(
        (hours(1), started(1, "hand", 9.5)), (hours(2), started(2, "hand", None)), (hours(3), started(1, "foot", 7.0)),
        (hours(4), started(1, "foot", 80.0, "huggingface")), (hours(5), started(3, "hand", -1.0)),
    )  # fmt: skip
    starts = cold_starts(rows, "hand")
    assert (starts["runpod"].seconds, starts["runpod"].source) == (9.5, "measured with hand/1 on 2026-10-31")
    assert starts["huggingface"].seconds == 80
    assert cold_starts(rows)["runpod"].seconds == 7
    assert cold_starts(rows[1:2]) == {}


def test_a_deployment_that_was_written_before_starts_were_measured_is_read_as_it_was() -> None:
    body = deployed().model_dump_json(exclude={"cold_start_s"})
    assert parse_event(body) == deployed()


def test_a_span_of_an_endpoint_costs_its_bills_and_its_quote_for_the_rest() -> None:
    rows = ledger((hours(0), deployed()), (hours(30), bill(hours(4), hours(14), "3")))
    assert cost_between(rows, deployed(), hours(9), hours(24)) == Decimal("11.5")  # half the bill, and ten dollars by the hour


@given(
    st.lists(st.tuples(st.integers(0, 2000), st.integers(1, 200), st.integers(0, 500)), max_size=6),
    st.integers(0, 2000),
    st.integers(0, 2000),
)
def test_quoted_and_billed_time_together_is_the_time_that_it_stood(
    spans: list[tuple[int, int, int]], start: int, long: int
) -> None:
    """At a dollar an hour, quoted dollars are exactly the hours that no bill covers."""
    bills = [(hours(low + 10_000), bill(hours(low), hours(low + wide), str(usd))) for low, wide, usd in spans]
    spent = spending(ledger((hours(start), deployed(month=str(HOURS_PER_MONTH))), *bills), hours(start + long))
    covered = {hour for low, wide, _ in spans for hour in range(low, low + wide)}
    quoted = sum((line.usd for line in spent if line.basis == "quoted"), Decimal(0))
    assert quoted == sum(hour not in covered for hour in range(start, start + long))
