"""What the Overview says, without Streamlit: what is in production, how good it is, its cost, what changed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from shlex import quote
from typing import NamedTuple

import pandas as pd

from dashboards.decisions import Waiting, by_model, moments, waiting
from dashboards.money import Budget, budgets, month_end
from registry.events import CanaryEnded, CanaryStarted, Deployed, Evaluated, Exported, Promoted, named
from registry.promotion.state import fold
from registry.protocols import Entry
from registry.records import Evaluation, Latency
from registry.reports.accounts import spending, spent_in
from registry.stages import Stage

CHANGED_DAYS = 14


class Served(NamedTuple):
    """A model in production. `against_usd` is this month's budget, where there is one."""

    model: str
    version: str
    since: datetime
    who: str
    evaluation: Evaluation | None
    latency: Latency | None
    place: str
    url: str
    spent_usd: Decimal
    expected_usd: Decimal
    against_usd: Decimal | None


class Alert(NamedTuple):
    """One thing that is wrong, or nearly. `command` is what would mend it."""

    grave: bool
    text: str
    command: str


class Overview(NamedTuple):
    """All of the page."""

    at: datetime
    served: list[Served]
    alerts: list[Alert]
    changed: pd.DataFrame
    spent_usd: Decimal
    expected_usd: Decimal
    versions: int
    attempts: int


def overview(entries: Sequence[Entry], now: datetime) -> Overview:
    """Fold the ledger's rows into the page. A clock that jumped makes no age negative."""
    spent, month = spending(entries, now), f"{now:%Y-%m}"
    limits = budgets(entries, now, spent)
    expected = month_end(entries, now)
    served = [
        _served(model, rows, limits.get(model), spent_in(spent, model, month), expected.get(model, Decimal(0)))
        for model, rows in by_model(entries).items()
        if Stage.PRODUCTION in fold(rows).holders
    ]
    alerts = [*_waiting_alerts(waiting(entries)), *_budget_alerts(limits, expected), *_canaries(entries)]
    return Overview(
        at=now,
        served=served,
        alerts=sorted(alerts, key=lambda one: not one.grave),
        changed=moments(entries, now - timedelta(days=CHANGED_DAYS)),
        spent_usd=sum((one.usd for one in spent if one.month == month), Decimal(0)),
        expected_usd=sum(expected.values(), Decimal(0)),
        versions=len({(one.event.model, one.event.version, one.event.created_ms) for one in entries if one.event.version}),
        attempts=sum(isinstance(one.event, Promoted) and one.event.again is None for one in entries),
    )


def _served(model: str, rows: Sequence[Entry], limit: Budget | None, spent: Decimal, expected: Decimal) -> Served:
    live = fold(rows).holders[Stage.PRODUCTION]
    mine = [row.event for row in rows if (row.event.version, row.event.created_ms) == live.identity]
    scores = [one.evaluation for one in mine if isinstance(one, Evaluated) and one.evaluation.split == "test"]
    exports = [one.latency for one in mine if isinstance(one, Exported)]
    places = [one for one in mine if isinstance(one, Deployed) and one.stage is Stage.PRODUCTION]
    since = next(row.at for row in rows if row.seq == live.since)
    return Served(
        model=model,
        version=live.promotion.label,
        since=since,
        who=named(live.actor, proven=live.promotion.proven),
        evaluation=scores[-1] if scores else None,
        latency=exports[-1] if exports else None,
        place=places[-1].target if places else "",
        url=places[-1].url if places else "",
        spent_usd=spent,
        expected_usd=expected,
        against_usd=limit.limit if limit else None,
    )


def accuracy_words(evaluation: Evaluation | None) -> str:
    """How good it is, in plain words, with its interval."""
    if evaluation is None:
        return "It was not measured on held-out pictures."
    top1, (low, high) = evaluation.metrics["top1"], evaluation.interval
    right = round(top1 * evaluation.images)
    told = f"Right on {right:,} of {evaluation.images:,} pictures that it had never seen, from {evaluation.clips:,} clips. "
    return told + f"On other pictures of this kind, expect {low:.0%} to {high:.0%} (95 % interval)."


def since_words(since: datetime, now: datetime) -> str:
    """A date, and how long ago that is."""
    days = max((now - since).days, 0)
    ago = "today" if days == 0 else "yesterday" if days == 1 else f"{days} days ago"
    return f"since {since.astimezone(UTC):%Y-%m-%d} ({ago})"


def _waiting_alerts(found: Iterable[Waiting]) -> list[Alert]:
    return [Alert(one.grave, f"{one.ref} for {one.stage}: {one.what}", one.command) for one in found]


def _budget_alerts(limits: dict[str, Budget], expected: dict[str, Decimal]) -> Iterable[Alert]:
    for model, budget in limits.items():
        used, limit = budget.spent, budget.limit
        said, command = f"{model} spent ${used:.2f} of its ${limit:.2f} this month", f"modelyard budget show {quote(model)}"
        if used >= limit and budget.overridden:
            yield Alert(False, f"{said}: {budget.overridden}", command)
        elif used >= limit:
            yield Alert(True, f"{said}: nothing new is started", f'modelyard budget override {quote(model)} --reason "…"')
        elif used >= limit * budget.warn_at:
            yield Alert(False, said, command)
        elif expected.get(model, Decimal(0)) > limit:
            yield Alert(False, f"{said}, and by its end ${expected[model]:.2f} are expected", command)


def _canaries(entries: Iterable[Entry]) -> Iterable[Alert]:
    on = dict[tuple[str, Stage], CanaryStarted]()
    for entry in entries:
        event = entry.event
        if isinstance(event, CanaryStarted):
            on[event.model, event.stage] = event
        elif isinstance(event, CanaryEnded):
            on.pop((event.model, event.stage), None)
    for event in on.values():
        live = fold(one for one in entries if one.event.model == event.model).holders.get(event.stage)
        if live and live.identity == event.identity:
            yield Alert(False, str(event), f"modelyard canary status {quote(event.model)}@{event.stage}")


def served_table(found: Iterable[Served]) -> pd.DataFrame:
    """The models in production as a table, for CSV: amounts in US dollars, rates from 0 to 1."""
    rows = [
        (
            one.model,
            one.version,
            one.since.isoformat(),
            one.who,
            one.evaluation.metrics["top1"] if one.evaluation else None,
            one.evaluation.interval[0] if one.evaluation else None,
            one.evaluation.interval[1] if one.evaluation else None,
            one.evaluation.images if one.evaluation else None,
            one.latency.p95_ms if one.latency else None,
            one.place,
            one.url,
            str(one.spent_usd),
            str(one.expected_usd),
            None if one.against_usd is None else str(one.against_usd),
        )
        for one in found
    ]
    columns = ["model", "version", "since", "promoted by", "test top-1", "interval low", "interval high", "images", "p95 ms"]
    columns += ["target", "endpoint", "spent this month", "expected this month", "budget"]
    return pd.DataFrame(rows, columns=columns)
