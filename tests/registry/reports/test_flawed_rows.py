"""A row that was changed, or that no trusted key signed, changes no figure anywhere: it is as if it were not there."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from pipelines.deployment.canary.state import canary_of
from pipelines.job.policy import current_policy
from pipelines.money.budgets import standing_of
from pipelines.queries.status import status
from pipelines.queries.waiting import waiting
from pipelines.services.notices import budget_notices
from registry.events import (
    AnyEvent,
    Approved,
    Archived,
    Blocked,
    CanaryEnded,
    CanaryStarted,
    Deployed,
    Flipped,
    HookDone,
    HookFailed,
    Lost,
    PolicySet,
    Promoted,
    Published,
    Refused,
    Released,
    Trained,
    Undone,
)
from registry.promotion.due import retry_is_due
from registry.promotion.reconcile import _last, _still_blocked
from registry.promotion.state import done, failures, fold, last_refusal
from registry.protocols import Entry
from registry.records import Finding, ModelVersion
from registry.reports.accounts import budget_statuses, came_to_production, cold_starts, compared, limits, overrides, spending
from registry.reports.attention import failed_deployments, needs_attention
from registry.reports.costs import CostReport
from registry.reports.endpoints import endpoint_spans, last_deployed
from registry.reports.history import decisions
from registry.spending import Billed, BudgetOverridden, TrainingFailed
from registry.stages import ALIASES, Stage

START = datetime(2026, 11, 2, tzinfo=UTC)
LATER = START + timedelta(days=20)


@dataclass(frozen=True)
class Row:
    """A row whose number says when it was written."""

    seq: int
    event: AnyEvent
    flaw: str | None = None

    @property
    def at(self) -> datetime:
        return START + timedelta(minutes=self.seq)


def _finding() -> list[Finding]:
    return [Finding(gate="metric", passed=False, text="too low")]


def _events(number: int, stage: Stage) -> list[AnyEvent]:
    """One event of each kind about a version, in an order in which they could come."""
    key: dict[str, Any] = {"model": "hand", "version": number, "created_ms": number, "digest": "d" * 64}
    of = {**key, "stage": stage}
    price = {"seconds": 60.0, "hardware": "runpod: A100", "usd": Decimal(number), "price_as_of": "2026-11-01"}
    where = {"target": "runpod", "url": f"https://{number}", "bundle": f"b{number}"}
    month = {
        "usd_per_month": Decimal(730 * number),
        "price_as_of": "2026-11-01",
        "smoke_images": 8,
        "cold_start_s": 1.0 * number,
    }
    job = {"budget": {"usd_per_month": 20 * number}}
    bill = {"provider": "runpod", "resource": f"hand-{stage}", "told": "USD 3", "source": "bill"}
    span = {"start": START, "end": START + timedelta(hours=number)}
    return [
        PolicySet(model="hand", actor="ada", job=job, policy_hash=f"h{number}"),
        Trained(**key, trainer="torch", run_id=f"run{number}", dataset="x", actor="ada", **price),
        TrainingFailed(model="hand", trainer="torch", run_id=f"lost{number}", reason="out of memory", **price),
        Refused(**of, actor="ada", findings=_finding()),
        Approved(**of, actor="ada", proven=True),
        Promoted(**of, previous=None, actor="ada", findings=[]),
        Flipped(**of, previous=None, actor="ada"),
        Published(**key, row=12, run_id=f"copy{number}"),
        HookDone(**of, hook="tidy"),
        Deployed(**of, **where, **month),
        HookFailed(**of, hook="deploy", attempt=number, reason="no answer"),
        CanaryStarted(**of, **where, against=1, rules={"share": 0.1}),
        CanaryEnded(**of, outcome="promoted", reason="good", actor="ada", figures={}),
        Billed(model="hand", usd=Decimal(number), **bill, **span),
        BudgetOverridden(
            model="hand", month="2026-11", spent_usd=Decimal(number), limit_usd=Decimal(1), reason="because", actor="ada"
        ),
        Undone(**of, reason="moved"),
        Blocked(**of, reason="unproven"),
        Lost(**of, reason="deleted"),
        Released(**of, reason="its alias was removed"),
        Archived(**key, actor="ada"),
    ]


EVENTS = [event for number in (1, 2) for stage in ALIASES for event in _events(number, stage)]
Figure = Callable[[Sequence[Entry]], object]


class _Ledger:
    def __init__(self, rows: Sequence[Entry]) -> None:
        self._rows = rows

    def entries(self, model: str | None = None, after: int = 0) -> Sequence[Entry]:
        return [row for row in self._rows if row.seq > after and model in {None, row.event.model}]


class _Store:
    """A registry with two versions, one of which holds both aliases."""

    def models(self) -> list[str]:
        return ["hand"]

    def versions(self, model: str) -> list[ModelVersion]:
        return VERSIONS

    def aliases(self, model: str) -> dict[str, int]:
        return {"staging": 2, "production": 2}


class _Targets:
    """No endpoint of this machine, and a home without a file."""

    class settings:  # noqa: N801
        from pathlib import Path

        outages = Path("/nonexistent/outages.json")

    class _Machine:
        def list(self) -> list[object]:
            return []

    def local(self) -> object:
        return self._Machine()


VERSIONS = [ModelVersion("hand", number, number) for number in (1, 2)]


def _promotion(rows: Sequence[Entry]) -> object:
    state = fold(rows)
    steps = [
        (done(rows, holder, hook), failures(rows, holder, hook), retry_is_due(rows, holder, hook, LATER))
        for holder in state.holders.values()
        for hook in ("tidy", "deploy")
    ]
    blocks = [
        (_still_blocked(rows, version, stage), _last(rows, version.identity, stage), last_refusal(rows, version, stage))
        for version in VERSIONS
        for stage in ALIASES
    ]
    return state, steps, blocks


def _job(rows: Sequence[Entry]) -> object:
    last = next((row for row in reversed(rows) if isinstance(row.event, PolicySet) and row.flaw is None), None)
    try:
        return current_policy(rows), last
    except Exception as error:
        return str(error)


def _budget_notices(rows: Sequence[Entry]) -> object:
    known = dict[str, str]()
    return budget_notices(rows, LATER, known), known


def _waits(rows: Sequence[Entry]) -> object:
    moments = [START + timedelta(minutes=minute, seconds=1) for minute in range(0, 90, 2)]
    return [waiting(rows, fold(rows), version.identity, [], at) for version in VERSIONS for at in moments]


FIGURES: dict[str, Figure] = {
    "spending": lambda rows: [spending(rows, LATER), spending(rows, LATER, "2026-11")],
    "bills beside quotes": lambda rows: compared(rows, LATER),
    "promoted": lambda rows: came_to_production(rows, "hand"),
    "budgets": lambda rows: [limits(rows), overrides(rows), budget_statuses(rows, LATER), standing_of(rows, "hand", LATER)],
    "budget notices": _budget_notices,
    "cold starts": cold_starts,
    "cost lines": lambda rows: CostReport.of(rows, LATER).lines(),
    "cost sums": lambda rows: [CostReport.of(rows, LATER).sums(by) for by in ("model", "person", "month")],  # type: ignore[arg-type]
    "serving": lambda rows: CostReport.of(rows, LATER).serving_usd_per_month,
    "attention": needs_attention,
    "failed deployments": failed_deployments,
    "endpoints": lambda rows: [endpoint_spans(rows), [last_deployed(rows, stage) for stage in ALIASES]],
    "history": lambda rows: [moment for moment in decisions(rows) if moment.counts],
    "promotion": _promotion,
    "policy": _job,
    "canaries": lambda rows: [canary_of(rows, stage) for stage in ALIASES],
    "waits": _waits,
    "status": lambda rows: status(_Store(), _Ledger(rows), _Targets()),  # type: ignore[arg-type]
}


def rows_of(events: Sequence[AnyEvent]) -> list[Row]:
    """Sound rows, with room between them."""
    return [Row(2 * number, event) for number, event in enumerate(events, 1)]


@given(
    events=st.lists(st.sampled_from(EVENTS), max_size=30),
    flawed=st.lists(st.tuples(st.integers(0, 31), st.sampled_from(EVENTS))),
)
def test_flawed_rows_change_no_figure(events: list[AnyEvent], flawed: list[tuple[int, AnyEvent]]) -> None:
    sound = rows_of(events)
    forged = {2 * number + 1: Row(2 * number + 1, event, "it is not signed") for number, event in flawed}
    mixed = sorted([*sound, *forged.values()], key=lambda row: row.seq)
    for name, figure in FIGURES.items():
        rows = mixed
        if name == "policy":  # a forged policy is no policy, and nothing is decided by an older one in its place
            rows = [row for row in mixed if row.flaw is None or not isinstance(row.event, PolicySet)]
        assert figure(rows) == figure(sound), name


def test_the_events_that_are_forged_change_each_figure_where_they_are_sound() -> None:
    """So the property above can fail."""
    empty = {name: repr(figure([])) for name, figure in FIGURES.items()}
    parts = [rows_of(EVENTS[:end]) for end in range(1, len(EVENTS) + 1)]
    still = {name for name, figure in FIGURES.items() if all(repr(figure(part)) == empty[name] for part in parts)}
    assert still == set()
