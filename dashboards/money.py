"""What the pages about money show, without Streamlit: sums of the books, budgets, forecasts by traffic."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import NamedTuple

import pandas as pd

from registry.accounts import By, Group, Spend, came_to_production, compared, grouped, spending, spent_in
from registry.events import Exported, PolicySet
from registry.money.forecast import Outlook, Place, outlook
from registry.money.traffic import Traffic
from registry.protocols import Entry

WAYS: tuple[By, ...] = ("model", "person", "provider", "month", "run", "endpoint")
_SWEEP = 2_000
_MOST = 6


def months(spent: Iterable[Spend]) -> list[str]:
    """The months in which anything was spent, newest first."""
    return sorted({one.month for one in spent}, reverse=True)


def sums(entries: Sequence[Entry], spent: Iterable[Spend], by: By) -> list[Group]:
    """Sums, the dearest first."""
    return grouped(spent, by, lambda model: came_to_production(entries, model))


def sums_table(groups: Iterable[Group], by: str) -> pd.DataFrame:
    """One row a group, in US dollars."""
    columns = [by, "training", "failed", "serving", "billed", "together", "runs", "in production", "per promoted"]
    rows = [
        (
            one.key,
            *map(float, (one.training_usd, one.failed_usd, one.serving_usd, one.billed_usd, one.usd)),
            one.runs,
            one.promoted,
            None if one.per_promoted_usd is None else float(one.per_promoted_usd),
        )
        for one in groups
    ]
    return pd.DataFrame(rows, columns=columns)


def bills_table(entries: Sequence[Entry], now: datetime) -> pd.DataFrame:
    """One row a bill, beside what its time was quoted at, in US dollars."""
    rows = [
        (one.endpoint, one.provider, one.start, one.end, float(one.quoted_usd), float(one.billed_usd))
        for one in compared(entries, now)
    ]
    return pd.DataFrame(rows, columns=["endpoint", "provider", "from", "to", "quoted", "billed"])


def by_month(spent: Iterable[Spend]) -> pd.DataFrame:
    """Columns month, what, usd."""
    found = pd.DataFrame([(one.month, one.what, float(one.usd)) for one in spent], columns=["month", "what", "usd"])
    return found.groupby(["month", "what"], as_index=False).sum()


class Budget(NamedTuple):
    """A model's month in US dollars, and the share of its budget from which on it warns."""

    spent: Decimal
    limit: Decimal
    warn_at: Decimal


def budgets(entries: Sequence[Entry], now: datetime) -> dict[str, Budget]:
    """Model → this month, for models that have a budget."""
    limits = dict[str, tuple[Decimal, Decimal]]()
    for entry in entries:
        if isinstance(entry.event, PolicySet):
            told = entry.event.job.get("budget")
            limits.pop(entry.event.model, None)
            if told:
                limits[entry.event.model] = (Decimal(str(told["usd_per_month"])), Decimal(str(told.get("warn_at", "0.8"))))
    month, spent = f"{now:%Y-%m}", spending(entries, now)
    return {model: Budget(spent_in(spent, model, month), *limit) for model, limit in sorted(limits.items())}


def month_end(entries: Sequence[Entry], now: datetime) -> dict[str, Decimal]:
    """Model → what its month is expected to come to: spent so far, and its endpoints at their quotes until it ends.

    Training that may still come is not in it.
    """
    first = now.astimezone(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    last = (first + timedelta(days=32)).replace(day=1) - timedelta(seconds=1)
    month, found = f"{now:%Y-%m}", defaultdict[str, Decimal](Decimal)
    for one in spending(entries, last):
        if one.month == month:
            found[one.model] += one.usd
    return dict(found)


def burn_down(entries: Sequence[Entry], now: datetime) -> pd.DataFrame:
    """Columns model, day, usd, kind: what is left of each budget at each day's end of this month, and what is expected."""
    first = now.astimezone(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    rows = list[tuple[str, str, float, str]]()
    for model, (_, limit, _warn) in budgets(entries, now).items():
        mine, day = [one for one in entries if one.event.model == model], first
        while day.month == first.month:
            end = min(day + timedelta(days=1), (first + timedelta(days=32)).replace(day=1)) - timedelta(seconds=1)
            past = [one for one in mine if one.at <= end]
            left = limit - spent_in(spending(past, end), model, f"{now:%Y-%m}")
            rows.append((model, f"{day:%Y-%m-%d}", float(left), "spent" if day <= now else "expected"))
            day += timedelta(days=1)
    return pd.DataFrame(rows, columns=["model", "day", "usd", "kind"])


def latencies(entries: Iterable[Entry]) -> dict[str, float]:
    """Version → the measured median of an answer in milliseconds, newest first."""
    exported = [one.event for one in entries if isinstance(one.event, Exported)]
    return {one.label: one.latency.p50_ms for one in reversed(exported) if one.latency}


def outlook_table(found: Iterable[Outlook]) -> pd.DataFrame:
    """One row a place: the month, its parts, and what it rests on."""
    rows = [
        {
            "place": one.place.name,
            "a month": float(one.usd_per_month),
            "per 1,000": None if one.usd_per_thousand is None else float(one.usd_per_thousand),
            "cold": 100 * one.cold_share,
            "p95 wait": one.wait_p95_s,
            "rests on": one.problem or "; ".join(one.place.assumed),
        }
        for one in found
    ]
    return pd.DataFrame(rows, columns=["place", "a month", "per 1,000", "cold", "p95 wait", "rests on"])


def break_even(traffic: Traffic, places: Sequence[Place]) -> pd.DataFrame:
    """The month's cost at each place from 1 to 1,000,000 requests a day: columns requests, place, usd. Where it keeps up."""
    rows = list[tuple[float, str, float]]()
    for step in range(2 * _MOST + 1):
        asked = traffic.model_copy(update={"requests_per_day": 10 ** (step / 2)})
        for place in places:
            found = outlook(asked, place, sample=_SWEEP)
            if not found.problem:
                rows.append((asked.requests_per_day, place.name, max(float(found.usd_per_month), 0.01)))
    return pd.DataFrame(rows, columns=["requests", "place", "usd"])
