"""The books: what the ledger says was spent, on what, by whom, for which model; what is billed beats what was quoted.

Training is measured seconds at the price of its day. Serving is, for as long as an endpoint stands by the ledger, the
month's quote by the hour, except where a bill covers the time. What one machine of our own costs is quoted in full for each
endpoint on it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Literal

from registry.events import AnyEvent, Archived, Deployed, Promoted, Released, Trained
from registry.money.billing import HOURS_PER_MONTH, dollars
from registry.protocols import Entry
from registry.records import Record
from registry.spending import Billed, TrainingFailed
from registry.stages import Stage

By = Literal["run", "model", "person", "provider", "month", "endpoint"]
_HOUR = Decimal(3600)
_ZERO = Decimal(0)


class Spend(Record):
    """One amount, within one month."""

    what: Literal["training", "failed training", "serving"]
    basis: Literal["measured", "quoted", "billed"]
    at: datetime
    model: str
    version: int = 0
    provider: str
    person: str = ""
    resource: str
    usd: Decimal

    @property
    def month(self) -> str:
        """As in 2026-11, in UTC."""
        return f"{self.at:%Y-%m}"


class Group(Record):
    """What belongs together. `per_promoted_usd` is all of it over the versions that came to production, where any did."""

    key: str
    training_usd: Decimal = _ZERO
    failed_usd: Decimal = _ZERO
    serving_usd: Decimal = _ZERO
    billed_usd: Decimal = _ZERO
    usd: Decimal = _ZERO
    runs: int = 0
    failed: int = 0
    promoted: int = 0
    per_promoted_usd: Decimal | None = None


def spending(entries: Sequence[Entry], now: datetime) -> list[Spend]:
    """Every amount up to now, in order of time. Rows with a flaw count for nothing."""
    sound = [(entry.at, entry.event) for entry in entries if entry.flaw is None]
    bills = list(
        {(one.provider, one.resource, one.start, one.end): one for _, one in sound if isinstance(one, Billed)}.values()
    )
    found = [_of_bill(one) for one in bills]
    for at, event in sound:
        if isinstance(event, Trained):
            person, failed = event.actor, False
        elif isinstance(event, TrainingFailed):
            person, failed = event.actor, True
        else:
            continue
        found.append(
            Spend(
                what="failed training" if failed else "training",
                basis="measured",
                at=at,
                model=event.model,
                version=event.version,
                provider=event.hardware.partition(":")[0],
                person=person,
                resource=event.run_id,
                usd=event.usd,
            )
        )
    for deployed, start, end in _stands(sound, now):
        found += _quoted(deployed, start, end, [one for one in bills if one.resource == endpoint_of(deployed)])
    return sorted(found, key=lambda one: one.at)


class Comparison(Record):
    """A bill beside what its time was quoted at. `quoted_usd` is 0 for time in which nothing stood there by the ledger."""

    endpoint: str
    provider: str
    start: datetime
    end: datetime
    quoted_usd: Decimal
    billed_usd: Decimal


def compared(entries: Sequence[Entry], now: datetime) -> list[Comparison]:
    """Every bill beside the quote of the endpoint that stood meanwhile, newest first."""
    sound = [(entry.at, entry.event) for entry in entries if entry.flaw is None]
    bills = {(one.provider, one.resource, one.start, one.end): one for _, one in sound if isinstance(one, Billed)}
    stands, found = _stands(sound, now), list[Comparison]()
    for one in bills.values():
        quoted = _ZERO
        for deployed, start, end in stands:
            seconds = (min(end, one.end) - max(start, one.start)).total_seconds()
            if endpoint_of(deployed) == one.resource and seconds > 0:
                quoted += deployed.usd_per_month * Decimal(str(seconds)) / _HOUR / HOURS_PER_MONTH
        found.append(
            Comparison(
                endpoint=one.resource,
                provider=one.provider,
                start=one.start,
                end=one.end,
                quoted_usd=dollars(quoted),
                billed_usd=one.usd,
            )
        )
    return sorted(found, key=lambda one: one.start, reverse=True)


def grouped(spent: Iterable[Spend], by: By, promoted: Callable[[str], int] | None = None) -> list[Group]:
    """Sums, the dearest first. `promoted` tells how many versions of a model came to production."""
    sums = defaultdict[str, list[Spend]](list)
    for one in spent:
        sums[_key(one, by)].append(one)
    found = [_sum(key, rows, promoted(key) if promoted and by == "model" else 0) for key, rows in sums.items()]
    return sorted(found, key=lambda one: (-one.usd, one.key))


def spent_in(spent: Iterable[Spend], model: str, month: str) -> Decimal:
    """US dollars of a model's month."""
    return sum((one.usd for one in spent if (one.model, one.month) == (model, month)), _ZERO)


def came_to_production(entries: Iterable[Entry], model: str) -> int:
    """How many versions of a model were promoted to production."""
    rows = [entry.event for entry in entries if entry.flaw is None]
    return len(
        {one.identity for one in rows if isinstance(one, Promoted) and (one.model, one.stage) == (model, Stage.PRODUCTION)}
    )


def _key(one: Spend, by: By) -> str:
    if by == "endpoint":
        return one.resource if one.what == "serving" else "(training)"
    if by == "run":
        return one.resource if one.what != "serving" else "(serving)"
    return str(getattr(one, by)) or "(nobody)"


def _sum(key: str, rows: list[Spend], promoted: int) -> Group:
    def of(*kinds: str, basis: str = "") -> Decimal:
        return sum((one.usd for one in rows if one.what in kinds and basis in {"", one.basis}), _ZERO)

    total = of("training", "failed training", "serving")
    return Group(
        key=key,
        training_usd=of("training"),
        failed_usd=of("failed training"),
        serving_usd=of("serving"),
        billed_usd=of("training", "failed training", "serving", basis="billed"),
        usd=total,
        runs=sum(one.what != "serving" for one in rows),
        failed=sum(one.what == "failed training" for one in rows),
        promoted=promoted,
        per_promoted_usd=dollars(total / promoted) if promoted else None,
    )


def endpoint_of(event: Deployed) -> str:
    """The name of the endpoint, as `pipelines.endpoints.endpoint_name` makes it."""
    return f"{event.model}-{event.stage}".replace(" ", "%20")


def _of_bill(one: Billed) -> Spend:
    return Spend(
        what="serving", basis="billed", at=one.start, model=one.model, provider=one.provider, resource=one.resource, usd=one.usd
    )


def _stands(sound: list[tuple[datetime, AnyEvent]], now: datetime) -> list[tuple[Deployed, datetime, datetime]]:
    """What was deployed, from when to when: until the stage's next deployment, its release, or the version's archiving."""
    open_, found = dict[tuple[str, Stage], tuple[Deployed, datetime]](), list[tuple[Deployed, datetime, datetime]]()
    for at, event in sound:
        ended = list[tuple[str, Stage]]()
        if isinstance(event, (Deployed, Released)):
            ended = [(event.model, event.stage)]
        elif isinstance(event, Archived):
            ended = [key for key, (one, _) in open_.items() if key[0] == event.model and one.identity == event.identity]
        for key in ended:
            if key in open_:
                deployed, since = open_.pop(key)
                found.append((deployed, since, max(at, since)))
        if isinstance(event, Deployed):
            open_[event.model, event.stage] = (event, at)
    return found + [(deployed, since, max(now, since)) for deployed, since in open_.values()]


def _quoted(event: Deployed, start: datetime, end: datetime, bills: list[Billed]) -> list[Spend]:
    """The quote of each month that an endpoint stood in, without the time that bills cover."""
    found = list[Spend]()
    while start < end:
        until = min(end, _next_month(start))
        seconds = (until - start).total_seconds() - _covered(start, until, bills)
        usd = dollars(event.usd_per_month * Decimal(str(seconds)) / _HOUR / HOURS_PER_MONTH)
        if usd > 0:
            found.append(
                Spend(
                    what="serving",
                    basis="quoted",
                    at=start,
                    model=event.model,
                    version=event.version,
                    provider=event.target,
                    resource=endpoint_of(event),
                    usd=usd,
                )
            )
        start = until
    return found


def _covered(start: datetime, end: datetime, bills: list[Billed]) -> float:
    """Seconds of a span that bills are about; where they overlap, once."""
    seconds, reached = 0.0, start
    for one in sorted(bills, key=lambda bill: bill.start):
        low, high = max(one.start, reached), min(one.end, end)
        if high > low:
            seconds += (high - low).total_seconds()
            reached = high
    return seconds


def _next_month(at: datetime) -> datetime:
    first = at.astimezone(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    return (first + timedelta(days=32)).replace(day=1)
