"""Which endpoints exist: one fold, where six had disagreed. Each test names what two of them had said."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry.events import (
    AnyEvent,
    Archived,
    CanaryEnded,
    CanaryStarted,
    Deployed,
    Flipped,
    HookDone,
    Lost,
    Promoted,
    Released,
)
from registry.reports.accounts import spending
from registry.reports.costs import CostReport
from registry.reports.endpoints import endpoint_spans, existing_deployments, existing_endpoints, last_deployed
from registry.stages import Stage

START = datetime(2026, 11, 2, tzinfo=UTC)
PRODUCTION, STAGING = Stage.PRODUCTION, Stage.STAGING


@dataclass
class Row:
    seq: int
    event: AnyEvent
    flaw: str | None = None

    @property
    def at(self) -> datetime:
        return START + timedelta(hours=self.seq)


def rows(*events: AnyEvent) -> list[Row]:
    return [Row(number, event) for number, event in enumerate(events, 1)]


def key(version: int) -> dict:
    return {"model": "hand", "version": version, "created_ms": version, "digest": "d" * 64}


def holds(version: int, stage: Stage = PRODUCTION) -> list[AnyEvent]:
    return [
        Promoted(**key(version), stage=stage, previous=None, actor="ada", findings=[]),
        Flipped(**key(version), stage=stage, previous=None, actor="ada"),
    ]


def deployed(version: int, stage: Stage = PRODUCTION, target: str = "runpod") -> Deployed:
    fields = {"stage": stage, "target": target, "url": f"https://v{version}", "bundle": f"b{version}", "smoke_images": 8}
    return Deployed(**key(version), usd_per_month=Decimal(730), price_as_of="2026-11-01", **fields)


def canary(version: int) -> CanaryStarted:
    fields = {"stage": PRODUCTION, "target": "runpod", "url": "https://c", "bundle": "c", "against": 1}
    return CanaryStarted(**key(version), **fields, rules={"share": 0.1})


def names(entries: list[Row]) -> list[tuple[str, int]]:
    return [(span.name, span.event.version) for span in existing_endpoints(entries)]


def test_a_version_that_took_the_stage_over_and_is_not_deployed_yet_leaves_the_one_before_answering_and_costing() -> None:
    """The pages and `status` showed no endpoint at all, while the books paid for one."""
    entries = rows(*holds(1), deployed(1), *holds(2))
    assert names(entries) == [("hand-production", 1)]
    assert CostReport.of(entries, START + timedelta(hours=6)).serving_usd_per_month == 730


def test_archiving_the_version_that_took_over_ends_the_endpoint_that_still_serves_the_one_before() -> None:
    """The books paid for it for ever; the endpoint was deleted, because nobody held its stage."""
    entries = rows(*holds(1), deployed(1), *holds(2), Archived(**key(2), actor="ada"))
    assert names(entries) == []
    assert sum(spend.usd for spend in spending(entries, START + timedelta(days=9))) == 3  # dollars, for the hours 3 to 6


def test_a_version_that_moves_to_another_stage_takes_its_endpoint_s_stage_along() -> None:
    """The books paid for an endpoint of production that had been deleted when its version went back to staging."""
    entries = rows(*holds(1), deployed(1), *holds(1, STAGING))
    assert names(entries) == []
    assert sum(spend.usd for spend in spending(entries, START + timedelta(days=9))) == 2


def test_a_row_that_does_not_count_deploys_nothing() -> None:
    """The Live page asked an address that stood in a row nobody had signed."""
    entries = rows(*holds(1), deployed(1))
    entries[-1].flaw = "it is not signed"
    assert existing_deployments(entries) == []


def test_a_lost_version_s_endpoint_goes_on() -> None:
    entries = rows(*holds(1), deployed(1), Lost(**key(1), stage=PRODUCTION, reason="deleted in MLflow"))
    assert names(entries) == [("hand-production", 1)]


def test_an_endpoint_that_was_deployed_after_its_stage_was_given_up_exists_until_it_was_deleted() -> None:
    """`costs` left it out at once, a cloud billed it until it was gone."""
    released = Released(**key(1), stage=PRODUCTION, reason="alias removed")
    entries = rows(*holds(1), released, deployed(1))
    assert names(entries) == [("hand-production", 1)]
    retired = HookDone(**key(1), stage=PRODUCTION, hook="retire")
    assert names(rows(*(entry.event for entry in entries), retired)) == []


def test_the_same_deployment_made_again_after_a_release_exists_again() -> None:
    released = Released(**key(1), stage=PRODUCTION, reason="alias removed")
    entries = rows(*holds(1), deployed(1), released, *holds(1), deployed(1))
    assert names(entries) == [("hand-production", 1)]
    assert [span.until is None for span in endpoint_spans(entries)] == [False, True]


@pytest.mark.parametrize(
    ("end", "left"),
    [
        (
            CanaryEnded(**key(2), stage=PRODUCTION, outcome="rolled_back", reason="r", actor="a", figures={}),
            ["hand-production"],
        ),
        (deployed(2), ["hand-production"]),
        (Released(**key(2), stage=PRODUCTION, reason="r"), []),
    ],
)
def test_a_canary_ends_by_its_verdict_by_the_deployment_that_follows_and_with_its_stage(end: AnyEvent, left: list[str]) -> None:
    """Bills knew canaries; nothing else did."""
    entries = rows(*holds(1), deployed(1), *holds(2), canary(2))
    assert [name for name, _ in names(entries)] == ["hand-production", "hand-production-canary"]
    assert [name for name, _ in names([*entries, Row(len(entries) + 1, end)])] == left


def test_a_canary_that_was_left_by_a_rollback_is_over() -> None:
    """It has no end of its own in the ledger then: the stage went back to another holder."""
    entries = rows(*holds(1), deployed(1), *holds(2), canary(2), *holds(1))
    assert names(entries) == [("hand-production", 1)]


EVENTS = st.sampled_from(
    [
        *(event for version in (1, 2) for stage in (STAGING, PRODUCTION) for event in holds(version, stage)),
        *(deployed(version, stage) for version in (1, 2) for stage in (STAGING, PRODUCTION)),
        *(Archived(**key(version), actor="ada") for version in (1, 2)),
        *(Released(**key(version), stage=PRODUCTION, reason="r") for version in (1, 2)),
        canary(2),
        CanaryEnded(**key(2), stage=PRODUCTION, outcome="promoted", reason="r", actor="a", figures={}),
        HookDone(**key(1), stage=PRODUCTION, hook="retire"),
    ]
)


@given(st.lists(EVENTS, max_size=25))
def test_whatever_happens_a_stage_has_one_endpoint_and_one_canary_at_most_and_money_only_while_it_exists(
    events: list[AnyEvent],
) -> None:
    entries, now = rows(*events), START + timedelta(days=3)
    existing = existing_endpoints(entries)
    assert len({span.name for span in existing}) == len(existing)
    spans = endpoint_spans(entries)
    assert all(span.until is None or span.until >= span.since for span in spans)
    hours = sum((((span.until or now) - span.since).total_seconds() for span in spans if not span.is_canary), 0.0) / 3600
    assert float(sum(spend.usd for spend in spending(entries, now))) == pytest.approx(hours)  # a dollar an hour
    for stage in (STAGING, PRODUCTION):
        mine = [event for event in events if isinstance(event, Deployed) and event.stage is stage]
        assert last_deployed(entries, stage) == (mine[-1] if mine else None)
