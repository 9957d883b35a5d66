"""What was spent, without Streamlit: by group, by month, against budgets, and of each endpoint."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import NamedTuple

import pandas as pd

from registry.amounts import format_usd
from registry.events import Deployed, Exported
from registry.money.spans import cut, month_of
from registry.protocols import Entry
from registry.reports.accounts import (
    By,
    Group,
    Spend,
    budget_statuses,
    compared,
    cost_between,
    limits,
    spending,
)
from registry.reports.budgets import person_limits, person_standings
from registry.reports.endpoints import endpoint_named
from serving.series.polling import EndpointReading

GROUPINGS: tuple[By, ...] = ("model", "experiment", "person", "provider", "month", "run", "endpoint")


def months(spent: Iterable[Spend]) -> list[str]:
    """The months in which anything was spent, newest first."""
    return sorted({spend.month for spend in spent}, reverse=True)


def sums_table(groups: Iterable[Group], by: str) -> pd.DataFrame:
    """One row a group, in US dollars."""
    columns = [by, "total", "training", "failed", "serving", "other", "billed", "runs", "in production", "per promoted"]
    rows = [
        (
            group.key,
            *map(
                float, (group.usd, group.training_usd, group.failed_usd, group.serving_usd, group.other_usd, group.billed_usd)
            ),
            group.runs,
            group.promoted,
            None if group.per_promoted_usd is None else float(group.per_promoted_usd),
        )
        for group in groups
    ]
    return pd.DataFrame(rows, columns=columns)


def bills_table(entries: Sequence[Entry], now: datetime) -> pd.DataFrame:
    """One row a bill, beside what its time was quoted at, in US dollars."""
    rows = [
        (bill.endpoint, bill.provider, bill.start, bill.end, float(bill.quoted_usd), float(bill.billed_usd))
        for bill in compared(entries, now)
    ]
    return pd.DataFrame(rows, columns=["endpoint", "provider", "from", "to", "quoted", "billed"])


def by_month(spent: Iterable[Spend]) -> pd.DataFrame:
    """Columns month, what, usd."""
    amounts = pd.DataFrame([(spend.month, spend.what, float(spend.usd)) for spend in spent], columns=["month", "what", "usd"])
    return amounts.groupby(["month", "what"], as_index=False).sum()


class Budget(NamedTuple):
    """A model's month, or a person's, in US dollars, and the share of its budget from which on it warns.

    `overridden` says who let it spend more; "" where all of it is spent and nobody did, or where it is not spent.
    """

    spent: Decimal
    limit: Decimal
    warn_at: Decimal
    overridden: str = ""


def budgets(entries: Sequence[Entry], now: datetime, spent: Iterable[Spend] | None = None) -> dict[str, Budget]:
    """Model → this month, for models that have a budget. `spent` is `spending` up to now, where it is known already."""
    warn = {model: Decimal(str(limit.warn_at)) for model, limit in limits(entries).items()}
    return {
        model: Budget(status.spent_usd, status.limit_usd or Decimal(0), warn[model], status.overridden)
        for model, status in budget_statuses(entries, now, spent).items()
    }


def person_budgets(entries: Sequence[Entry], now: datetime, spent: Iterable[Spend] | None = None) -> dict[str, Budget]:
    """Person → this month over all models, for those who have a budget. `spent` as in `budgets`."""
    warn = {person: Decimal(str(limit.warn_at)) for person, limit in person_limits(entries).items()}
    return {
        status.person: Budget(status.spent_usd, status.limit_usd or Decimal(0), warn[status.person], status.overridden)
        for status in person_standings(entries, now, spent)
    }


def budget_lines(entries: Sequence[Entry], now: datetime, spent: Sequence[Spend]) -> list[tuple[float, str]]:
    """The share that is spent of each model's and person's budget, 1 at most, and a sentence about it."""
    lines = list[tuple[float, str]]()
    for whose, budget in [*budgets(entries, now, spent).items(), *person_budgets(entries, now, spent).items()]:
        over = ", nothing new is started" if budget.spent >= budget.limit else ""
        over = f" ({budget.overridden})" if budget.overridden else over
        share = spent_share(budget.spent, budget.limit)
        sentence = f"{whose}: {format_usd(budget.spent)} of this month's {format_usd(budget.limit)} budget spent{over}"
        lines.append((share, sentence))
    return lines


def spent_share(spent: Decimal, limit: Decimal) -> float:
    """How much of a budget is spent, for a bar: 1 at most, and of a budget of nothing."""
    return min(float(spent / limit), 1.0) if limit else 1.0


def month_end(entries: Sequence[Entry], now: datetime) -> dict[str, Decimal]:
    """Model → what its month is expected to come to: spent so far, and its endpoints at their quotes until it ends.

    Training that may still come is not in it.
    """
    last = month_of(now)[1] - timedelta(seconds=1)
    month, expected = f"{now:%Y-%m}", defaultdict[str, Decimal](Decimal)
    for spend in spending(entries, last):
        if spend.month == month:
            expected[spend.model] += spend.usd
    return dict(expected)


def burn_down(entries: Sequence[Entry], now: datetime) -> pd.DataFrame:
    """Columns model, day, usd, kind: what is left of each budget at each day's end of this month.

    `actual` ends with what is left now; `expected` begins with what will be left when today ends.
    """
    if not limits(entries):
        return pd.DataFrame(columns=["model", "day", "usd", "kind"])
    (first, last), month, today = month_of(now), f"{now:%Y-%m}", now.astimezone(UTC)
    spent = spending(entries, now, month)
    known, coming = _by_day(spent, month), _by_day(spending(entries, last - timedelta(seconds=1), month), month)
    days = [low for low, _ in cut(first, last, month)]
    rows = list[tuple[str, str, float, str]]()
    for model, (used, limit, *_) in budgets(entries, now, spent).items():
        past = [day for day in days if day.date() < today.date()]
        rows += [(model, f"{day:%Y-%m-%d}", float(limit - _until(known[model], day)), "actual") for day in past]
        rows.append((model, f"{today:%Y-%m-%d}", float(limit - used), "actual"))
        for day in days[len(past) :]:
            rows.append((model, f"{day:%Y-%m-%d}", float(limit - max(used, _until(coming[model], day))), "expected"))
    return pd.DataFrame(rows, columns=["model", "day", "usd", "kind"])


def _by_day(spent: Iterable[Spend], month: str) -> dict[str, dict[int, Decimal]]:
    """Model → day of the month → US dollars."""
    by_day = defaultdict[str, dict[int, Decimal]](lambda: defaultdict(Decimal))
    for spend in spent:
        if spend.month == month:
            by_day[spend.model][spend.at.astimezone(UTC).day] += spend.usd
    return by_day


def _until(by_day: Mapping[int, Decimal], day: datetime) -> Decimal:
    return sum((usd for number, usd in by_day.items() if number <= day.day), Decimal(0))


def serving_costs(
    entries: Sequence[Entry],
    deployed: Sequence[Deployed],
    readings: Sequence[EndpointReading],
    now: datetime,
    spent: Iterable[Spend] | None = None,
) -> pd.DataFrame:
    """One row an endpoint, in US dollars: its month as quoted, what was billed this month, 1,000 requests, idle spend.

    A thousand requests cost what was billed, or quoted where no bill is, for the time in which an endpoint counted them.
    Idle spend is the part of the quote in which an endpoint's workers decoded and predicted nothing; in a cloud, whose quote is
    what its minimum workers cost without traffic, all of it. What is not known is empty. `spent` is `spending` up to now,
    where it is known already.
    """
    month = f"{now:%Y-%m}"
    billed = defaultdict[str, Decimal](Decimal)
    for spend in spending(entries, now) if spent is None else spent:
        if (spend.what, spend.basis, spend.month) == ("serving", "billed", month):
            billed[spend.resource] += spend.usd
    rows = list[tuple[str, str, float, float | None, float | None, float | None]]()
    for event, reading in zip(deployed, readings, strict=True):
        name, quote = endpoint_named(event), float(event.usd_per_month)
        each = None
        if reading.requests and reading.seconds:
            paid = cost_between(entries, event, now - timedelta(seconds=reading.seconds), now)
            each = 1000 * float(paid) / reading.requests
        bill = float(billed[name]) if name in billed else None
        rows.append((reading.name, reading.target, quote, bill, each, _idle(event, reading)))
    columns = ["endpoint", "target", "per month", "billed this month", "per 1,000 requests", "idle per month"]
    return pd.DataFrame(rows, columns=columns)


def _idle(event: Deployed, reading: EndpointReading) -> float | None:
    quote = float(event.usd_per_month)
    if event.target != "local":
        return quote
    if not reading.seconds or reading.busy_seconds is None:
        return None
    there_were = reading.seconds * max(reading.workers or 1.0, 1.0)
    return quote * max(0.0, 1 - reading.busy_seconds / there_were)


def latest_exports(entries: Iterable[Entry]) -> dict[str, Exported]:
    """Version → its newest bundle whose latency was measured, newest first."""
    exports = dict[str, Exported]()
    for entry in reversed(list(entries)):
        if isinstance(entry.event, Exported) and entry.event.latency:
            exports.setdefault(entry.event.label, entry.event)
    return exports
