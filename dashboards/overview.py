"""What the Overview shows, without Streamlit: what is in production, how good it is, its cost, what changed."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta, tzinfo
from decimal import Decimal
from shlex import quote
from typing import NamedTuple

import pandas as pd

from dashboards.decisions import moments
from dashboards.money.spending import Budget, budgets, month_end, person_budgets
from dashboards.trends import money_trend, quality_trend, scores_by_model
from registry.amounts import format_usd
from registry.events import Deployed, Exported, Promoted, named
from registry.measured import FEW_CLIPS, few_clips_in_words, least_share
from registry.promotion.state import Holder, fold
from registry.protocols import Entry
from registry.records import Evaluation, Latency
from registry.reports.accounts import spending
from registry.reports.accuracy import own_evaluation, own_evaluations
from registry.reports.attention import AttentionItem, by_model, needs_attention
from registry.reports.endpoints import EndpointSpan, existing_endpoints
from registry.stages import Stage

CHANGED_DAYS = 14
_ZERO = Decimal(0)


class Served(NamedTuple):
    """A model in production. `against_usd` is this month's budget, where there is one; `trend` its scores by version.

    `free` is an endpoint on this machine at no rate.
    """

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
    trend: pd.DataFrame
    free: bool = False


class Alert(NamedTuple):
    """Something that is wrong, or nearly. `command` is the fix."""

    grave: bool
    text: str
    command: str


class Overview(NamedTuple):
    """Everything on the page."""

    at: datetime
    served: list[Served]
    alerts: list[Alert]
    changed: pd.DataFrame
    spent_usd: Decimal
    expected_usd: Decimal
    money: pd.DataFrame
    versions: int
    promotions: int


def overview(entries: Sequence[Entry], now: datetime) -> Overview:
    """Fold the ledger's rows into the page. A clock that jumped makes no age negative."""
    spent, month = spending(entries, now), f"{now:%Y-%m}"
    used = defaultdict[str, Decimal](Decimal)
    for spend in spent:
        used[spend.model] += spend.usd if spend.month == month else 0
    events = [entry.event for entry in entries]
    limits, persons = budgets(entries, now, spent), person_budgets(entries, now, spent)
    expected = month_end(entries, now)
    spans = existing_endpoints(entries)
    over = [*_budget_alerts(limits, expected), *_budget_alerts(persons, {}, "--person ")]
    alerts = [*_waiting_alerts(needs_attention(entries)), *over, *_canaries(spans)]
    return Overview(
        at=now,
        served=list(
            _in_production(entries, spans, lambda model: _Money(used[model], expected.get(model, _ZERO), limits.get(model)))
        ),
        alerts=sorted(alerts, key=lambda alert: not alert.grave),
        changed=moments(entries, now - timedelta(days=CHANGED_DAYS)),
        spent_usd=sum(used.values(), _ZERO),
        money=money_trend(spent, expected, {model: budget.limit for model, budget in limits.items()}, now),
        expected_usd=sum(expected.values(), _ZERO),
        versions=len({(event.model, event.version, event.created_ms) for event in events if event.version}),
        promotions=sum(
            isinstance(event, Promoted) and event.stage is Stage.PRODUCTION and event.again is None for event in events
        ),
    )


class _Money(NamedTuple):
    """A model's month."""

    spent: Decimal
    expected: Decimal
    budget: Budget | None


def _in_production(
    entries: Sequence[Entry], spans: Iterable[EndpointSpan], month_of: Callable[[str], _Money]
) -> Iterable[Served]:
    """Each model that has a version in production, by name."""
    scores, serving = scores_by_model(own_evaluations(entries)), defaultdict[str, list[Deployed]](list)
    for span in spans:
        if isinstance(span.event, Deployed):
            serving[span.event.model].append(span.event)
    for model, rows in by_model(entries).items():
        state = fold(rows)
        if holder := state.holders.get(Stage.PRODUCTION):
            yield _served(rows, holder, month_of(model), serving[model], quality_trend(scores.get(model, {}), state))


def _served(rows: Sequence[Entry], holder: Holder, money: _Money, deployed: Sequence[Deployed], trend: pd.DataFrame) -> Served:
    model = holder.promotion.model
    mine = [row.event for row in rows if (row.event.version, row.event.created_ms) == holder.identity]
    exports = [event.latency for event in mine if isinstance(event, Exported)]
    serving = [event for event in deployed if event.stage is Stage.PRODUCTION and not event.endpoint]
    endpoints = [event for event in serving if event.identity == holder.identity]
    since = next(row.at for row in rows if row.seq == holder.since)
    return Served(
        model=model,
        version=holder.promotion.label,
        since=since,
        who=named(holder.actor, proven=holder.promotion.proven),
        evaluation=own_evaluation(rows, (model, *holder.identity), holder.promotion.digest),
        latency=exports[-1] if exports else None,
        place=endpoints[-1].target if endpoints else "",
        url=endpoints[-1].url if endpoints else "",
        spent_usd=money.spent,
        expected_usd=money.expected,
        against_usd=money.budget.limit if money.budget else None,
        trend=trend,
        free=bool(endpoints) and endpoints[-1].target == "local" and not endpoints[-1].usd_per_month,
    )


def accuracy_words(evaluation: Evaluation | None) -> str:
    """How good it is, in plain words, with its interval."""
    if evaluation is None:
        return "Not evaluated on held-out images."
    score, (low, high) = evaluation.score, evaluation.interval
    if evaluation.task == "detect":
        boxes = sum(scores.support for scores in evaluation.classes)
        recall = evaluation.metrics.get("recall", 0.0)
        measured = f"mAP50-95 {score:.3f} ({low:.3f} to {high:.3f}, 95% interval): found {round(recall * boxes):,} of {boxes:,}"
        return f"{measured} objects in {evaluation.images:,} images it had never seen, from {evaluation.clips:,} clips."
    right = round(score * evaluation.images)
    measured = f"Correct on {right:,} of {evaluation.images:,} images it had never seen, from {evaluation.clips:,} clips."
    if few := few_clips_in_words(evaluation.clips, evaluation.split):
        return f"{measured} {few[0].upper()}{few[1:]}."
    return f"{measured} On similar images, expect {low:.0%} to {high:.0%} (95% interval)."


def score_words(evaluation: Evaluation) -> str:
    """The one figure that stands for a version: a percentage of a classifier, mAP50-95 of a detector."""
    return f"{evaluation.score:.1%}" if evaluation.task == "classify" else f"{evaluation.score_name} {evaluation.score:.3f}"


def doubt_words(evaluation: Evaluation) -> str:
    """What stands beside a figure that rests on fewer than five clips: where it may lie, and what to do. Else empty.

    The lower end is the lesser of the interval's and of what so many clips can promise at best, see `few_clips_in_words`.
    """
    clips, (low, high) = evaluation.clips, evaluation.interval
    if clips >= FEW_CLIPS:
        return ""
    low = min(low, least_share(clips)) if evaluation.task == "classify" else low
    bounds = f"{low:.0%} to {high:.0%}" if evaluation.task == "classify" else f"{low:.2f} to {high:.2f}"
    return f"from {clips} clip{'' if clips == 1 else 's'}: {bounds}; film more"


def since_words(since: datetime, now: datetime, where: tzinfo = UTC) -> str:
    """A date, and how long ago that is."""
    days = max((now.astimezone(where).date() - since.astimezone(where).date()).days, 0)
    ago = "today" if days == 0 else "yesterday" if days == 1 else f"{days} days ago"
    return f"since {since.astimezone(where):%Y-%m-%d} ({ago})"


def _waiting_alerts(items: Iterable[AttentionItem]) -> list[Alert]:
    return [Alert(item.grave, f"{item.ref} for {item.stage}: {item.what}", item.command) for item in items]


def _budget_alerts(limits: dict[str, Budget], expected: dict[str, Decimal], option: str = "") -> Iterable[Alert]:
    """Of models, or of persons where `option` is what the command names these by."""
    for model, budget in limits.items():
        used, limit = budget.spent, budget.limit
        summary = f"{model} spent {format_usd(used)} of its {format_usd(limit)} budget this month"
        command = f"modelyard budget show {option}{quote(model)}"
        if used >= limit and budget.overridden:
            yield Alert(False, f"{summary}: {budget.overridden}", command)
        elif used >= limit:
            yield Alert(
                True, f"{summary}: nothing new is started", f'modelyard budget override {option}{quote(model)} --reason "…"'
            )
        elif used >= limit * budget.warn_at:
            yield Alert(False, summary, command)
        elif expected.get(model, Decimal(0)) > limit:
            yield Alert(False, f"{summary}, and {format_usd(expected[model])} is expected by the end of it", command)


def _canaries(spans: Iterable[EndpointSpan]) -> Iterable[Alert]:
    for event in (span.event for span in spans if span.is_canary):
        yield Alert(False, str(event), f"modelyard canary status {quote(event.model)}@{event.stage}")


def served_table(served: Iterable[Served]) -> pd.DataFrame:
    """The models in production as a table, for CSV: amounts in US dollars, rates from 0 to 1."""
    rows = [
        (
            row.model,
            row.version,
            row.since.isoformat(),
            row.who,
            row.evaluation.metrics.get("top1") if row.evaluation else None,
            row.evaluation.interval[0] if row.evaluation else None,
            row.evaluation.interval[1] if row.evaluation else None,
            row.evaluation.images if row.evaluation else None,
            row.evaluation.metrics.get("map50_95") if row.evaluation else None,
            row.latency.p95_ms if row.latency else None,
            row.place,
            row.url,
            str(row.spent_usd),
            str(row.expected_usd),
            None if row.against_usd is None else str(row.against_usd),
        )
        for row in served
    ]
    columns = ["model", "version", "since", "promoted by", "test top-1", "interval low", "interval high", "images"]
    columns += ["test mAP50-95", "p95 ms", "target", "endpoint", "spent this month", "expected this month", "budget"]
    return pd.DataFrame(rows, columns=columns)
