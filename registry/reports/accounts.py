"""The books: what the ledger says was spent, on what, by whom, for which model; what is billed beats what was quoted.

Training is measured seconds at the price of its day. Serving is, for as long as an endpoint exists by the ledger, the
month's quote by the hour, except where a bill covers the time. What one machine of our own costs is quoted in full for each
endpoint on it. How bills count is in `registry.money.bills`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from decimal import Decimal
from math import inf

from registry.amounts import round_usd
from registry.events import AnyEvent, Deployed, Exported, Promoted, Trained
from registry.money.billing import HOURS_PER_MONTH
from registry.money.bills import BillPart, BillSubjects, bill_key, book_bills, resolve_overlaps
from registry.money.books import By, Group, Spend, grouped, spent_in
from registry.money.places import ColdStart, Measurements
from registry.money.spans import IntervalSet, cut, seconds
from registry.promotion.policy import fold_policies_by_model, policy_of
from registry.protocols import Entry
from registry.records import Record
from registry.reports.endpoints import endpoint_named, endpoint_spans
from registry.spending import Billed, BudgetOverridden, BudgetStatus, Limit, TrainingFailed
from registry.stages import Stage

__all__ = ["By", "Group", "Spend", "grouped", "spent_in"]

_HOUR = Decimal(3600)
_ZERO = Decimal(0)


def spending(entries: Sequence[Entry], now: datetime, by_day: str = "") -> list[Spend]:
    """Every amount up to now, in order of time, each within one month, and in the month `by_day` (as 2026-11) within one day.

    Rows with a flaw count for nothing.
    """
    sound = [(entry.at, entry.event) for entry in entries if entry.flaw is None]
    parts = resolve_overlaps(event for _, event in sound if isinstance(event, Billed))
    spans = _paid_spans(entries, now)
    endpoints = {endpoint_named(deployed): deployed.model for deployed, _, _ in spans}
    runs = [_of_run(at, event) for at, event in _runs(sound)]
    spends = book_bills(parts, BillSubjects(endpoints, runs), by_day)
    covered = dict[str, IntervalSet]()
    for part in parts:
        covered.setdefault(part.bill.resource, IntervalSet()).add(part.start, part.end)
    for deployed, start, end in spans:
        spends += _quoted(deployed, start, end, covered.get(endpoint_named(deployed), IntervalSet()), by_day)
    return sorted(spends, key=lambda spend: spend.at)


class Comparison(Record):
    """A bill beside what its time was quoted at. `quoted_usd` is 0 for time in which nothing stood there by the ledger."""

    endpoint: str
    provider: str
    start: datetime
    end: datetime
    quoted_usd: Decimal
    billed_usd: Decimal


def compared(entries: Sequence[Entry], now: datetime) -> list[Comparison]:
    """Every bill beside the quote of the endpoint that stood meanwhile, newest first.

    Both are of the time for which the bill counts; one that counts for none, because later ones are about all of it, is left
    out.
    """
    sound = [(entry.at, entry.event) for entry in entries if entry.flaw is None]
    spans, comparisons = _paid_spans(entries, now), dict[tuple[object, ...], Comparison]()
    for part in resolve_overlaps(event for _, event in sound if isinstance(event, Billed)):
        provider, resource = bill_key(part.bill)
        key = (provider, resource, part.bill.start, part.bill.end)
        before = comparisons.get(key)
        comparisons[key] = Comparison(
            endpoint=resource,
            provider=provider,
            start=part.bill.start,
            end=part.bill.end,
            quoted_usd=(before.quoted_usd if before else _ZERO) + round_usd(_quote_of(part, spans)),
            billed_usd=(before.billed_usd if before else _ZERO) + part.usd,
        )
    return sorted(comparisons.values(), key=lambda event: event.start, reverse=True)


def came_to_production(entries: Iterable[Entry], model: str, month: str | None = None) -> int:
    """How many versions of a model were promoted to production for the first time, in a month (as 2026-11) or ever."""
    first = dict[tuple[int, int], datetime]()
    for entry in entries:
        event = entry.event
        if isinstance(event, Promoted) and (event.model, event.stage) == (model, Stage.PRODUCTION) and entry.flaw is None:
            first.setdefault(event.identity, entry.at)
    return sum(month in {None, f"{at:%Y-%m}"} for at in first.values())


def limits(entries: Iterable[Entry]) -> dict[str, Limit]:
    """Model → its budget, by the policy that was set last; models without one are left out."""
    limits_of = dict[str, Limit]()
    for model, state in fold_policies_by_model(entries).items():
        policy = policy_of(state.current)
        if policy and (budget := policy.job.get("budget")):
            known = {name: budget[name] for name in Limit.model_fields if name in budget}
            limits_of[model] = Limit.model_validate(known)
    return limits_of


def budget_status(entries: Sequence[Entry], model: str, at: datetime, limit: Limit | None) -> BudgetStatus:
    """A model's budget in the month of a moment. `limit` is its budget, None for none.

    Of a model's own rows alone, bills are left out that are about several models, or were recorded before theirs was known.
    """
    month = f"{at:%Y-%m}"
    spent = spent_in(spending(entries, at), model, month)
    return BudgetStatus.for_month(model, at, spent, limit, overrides(entries).get((model, month)))


def budget_statuses(entries: Sequence[Entry], at: datetime, spent: Iterable[Spend] | None = None) -> dict[str, BudgetStatus]:
    """The budget of each model that has one. `spent` is `spending` up to then, where it is known already."""
    known, overridden = list(spending(entries, at) if spent is None else spent), overrides(entries)
    month = f"{at:%Y-%m}"
    return {
        model: BudgetStatus.for_month(model, at, spent_in(known, model, month), limit, overridden.get((model, month)))
        for model, limit in sorted(limits(entries).items())
    }


def overrides(entries: Iterable[Entry]) -> dict[tuple[str, str], BudgetOverridden]:
    """Model and month → the last override of its budget."""
    events = (event.event for event in entries if isinstance(event.event, BudgetOverridden) and event.flaw is None)
    return {(event.model, event.month): event for event in events}


def cost_between(entries: Iterable[Entry], event: Deployed, start: datetime, end: datetime) -> Decimal:
    """US dollars of an endpoint for a span of time in which it stood: by bills where there are any, else by its quote."""
    bills = (bill.event for bill in entries if isinstance(bill.event, Billed) and bill.flaw is None)
    spent, left = _ZERO, IntervalSet()
    for part in resolve_overlaps(bill for bill in bills if bill.resource == endpoint_named(event)):
        low, high = max(start, part.start), min(end, part.end)
        if low < high:
            left.add(low, high)
            spent += part.usd * seconds(high - low) / seconds(part.end - part.start)
    quoted = sum((seconds(high - low) for low, high in left.gaps(start, end)), _ZERO)
    return round_usd(spent + event.usd_per_month * quoted / _HOUR / HOURS_PER_MONTH)


def cold_starts(entries: Iterable[Entry], model: str = "") -> dict[str, ColdStart]:
    """Target → how long a worker took to answer after it was started: measured when this model was deployed, else any other."""
    rows = [(event.at, event.event) for event in entries if isinstance(event.event, Deployed) and event.flaw is None]
    measured = [(at, event) for at, event in rows if event.cold_start_s is not None and 0 <= event.cold_start_s < inf]
    starts = dict[str, ColdStart]()
    for at, event in sorted(measured, key=lambda row: row[1].model == model):
        source = f"measured with {event.label} on {at:%Y-%m-%d}"
        starts[event.target] = ColdStart(seconds=event.cold_start_s or 0.0, source=source)
    return starts


def measured(entries: Iterable[Entry], exported: Exported | None, assumed: tuple[float, str], model: str = "") -> Measurements:
    """What a forecast may rest on: what was measured of an export, or the milliseconds that are given and their source."""
    cold = cold_starts(entries, exported.model if exported else model)
    if exported is None or exported.latency is None:
        return Measurements(service_ms=assumed[0], service_from=assumed[1], cold=cold)
    latency = exported.latency
    return Measurements(
        service_ms=latency.p50_ms,
        service_from=f"measured on this machine, {exported.label}, median of {latency.requests}",
        first_ms=latency.first_ms,
        bundle_mb=exported.megabytes,
        cold=cold,
    )


def _runs(sound: Iterable[tuple[datetime, AnyEvent]]) -> list[tuple[datetime, Trained | TrainingFailed]]:
    """What runs cost. One that was taken for killed while it went on has a later row, and that alone counts."""
    runs = [(at, event) for at, event in sound if isinstance(event, (Trained, TrainingFailed))]
    last = {(event.model, event.run_id): index for index, (_, event) in enumerate(runs)}
    return [
        (at, event)
        for index, (at, event) in enumerate(runs)
        if isinstance(event, Trained) or last[event.model, event.run_id] == index
    ]


def _of_run(at: datetime, event: Trained | TrainingFailed) -> Spend:
    return Spend(
        what="failed training" if isinstance(event, TrainingFailed) and not event.trial else "training",
        basis="measured",
        at=at,
        model=event.model,
        version=event.version,
        provider=event.hardware.partition(":")[0],
        person=event.actor,
        resource=event.run_id,
        usd=event.usd,
    )


_PaidSpan = tuple[Deployed, datetime, datetime]


def _paid_spans(entries: Iterable[Entry], now: datetime) -> list[_PaidSpan]:
    """What was deployed, from when to when: the spans that are paid by their quote. A canary is in its endpoint's bill."""
    return [
        (span.event, span.since, max(span.until or now, span.since))
        for span in endpoint_spans(entries)
        if isinstance(span.event, Deployed)
    ]


def _quote_of(part: BillPart, spans: Iterable[_PaidSpan]) -> Decimal:
    """What the time of a bill was quoted at."""
    quoted = _ZERO
    for deployed, start, end in spans:
        low, high = max(start, part.start), min(end, part.end)
        if endpoint_named(deployed) == part.bill.resource and low < high:
            quoted += deployed.usd_per_month * seconds(high - low) / _HOUR / HOURS_PER_MONTH
    return quoted


def _quoted(event: Deployed, start: datetime, end: datetime, covered: IntervalSet, by_day: str) -> list[Spend]:
    """The quote of the time that an endpoint stood and no bill covers, by month or day; days add up to their month."""
    spends = list[Spend]()
    fields = {"what": "serving", "basis": "quoted", "model": event.model, "version": event.version, "provider": event.target}
    for month in cut(start, end):
        spent = stood = _ZERO
        for low, high in cut(*month, by_day):
            stood += sum((seconds(until - since) for since, until in covered.gaps(low, high)), _ZERO)
            upto = round_usd(event.usd_per_month * stood / _HOUR / HOURS_PER_MONTH)
            if upto > spent:
                spends.append(
                    Spend.model_validate(fields | {"at": low, "resource": endpoint_named(event), "usd": upto - spent})
                )
            spent = upto
    return spends
