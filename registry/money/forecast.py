"""What a month of traffic costs at each place, which is cheapest, and when that turns."""

from __future__ import annotations

import math
from decimal import Decimal

from pydantic import Field

from registry.errors import InputError
from registry.money.billing import HOURS_PER_MONTH, billed_seconds, cost, dollars, monthly, storage, whole_units
from registry.money.fleet import Fleet, simulate
from registry.money.prices import Price, Storage
from registry.money.traffic import Traffic
from registry.records import Record

_SAMPLE = 40_000
_SWEEP = 2_000
_MOST_DAYS = 28.0
_BUSIEST = 0.9
"""A fleet that is busier than this on average makes its requests wait longer and longer."""
_PER_DECADE = 4
_HALVINGS = 6
_ZERO = Decimal(0)


class Disk(Record):
    """What is kept for serving: for each worker while it runs, or once, all month."""

    tariff: Storage
    gigabytes: float = Field(ge=0, allow_inf_nan=False)
    always: bool = False


class Place(Record):
    """Where a model could be served. `assumed` says what its figures rest on.

    What is not `rented`, such as the visitor's own browser, costs nothing and keeps up with any traffic.
    """

    name: str
    price: Price
    fleet: Fleet
    assumed: list[str] = Field(default=[])
    disks: list[Disk] = Field(default=[])
    rented: bool = True

    @property
    def most_per_second(self) -> float:
        """Requests a second that it can answer at all."""
        return self.fleet.max_workers / self.fleet.service_s


class PlaceForecast(Record):
    """A month at one place. Seconds are waits before an answer is begun; `problem` says why it will not do."""

    place: Place
    usd_per_month: Decimal
    storage_usd: Decimal = Field(default=_ZERO, description="the part of it that is for storage")
    usd_per_thousand: Decimal | None = Field(description="requests; None where there are none")
    cold_share: float
    wait_p50_s: float
    wait_p95_s: float
    busy_hours: float = Field(description="of workers that are started for requests, idle timeouts included")
    problem: str = ""


def outlook(traffic: Traffic, place: Place, *, longest_wait_s: float | None = None, sample: int = _SAMPLE) -> PlaceForecast:
    """Simulate a stretch of about `sample` requests at one place, and reckon a month of it.

    Without a sample, a fleet that neither grows nor shrinks is not simulated: its cost is known, its waits are left out.
    """
    always = (monthly(place.price) * place.fleet.min_workers, _kept(place))
    if not place.rented:
        return _of(traffic, place, (_ZERO, _ZERO))
    if traffic.per_second > _BUSIEST * place.most_per_second:
        told = f"answers {place.most_per_second:.3g} requests a second at most, and {traffic.per_second:.3g} come"
        return _of(traffic, place, always, problem=told)
    if _fixed(place) and not sample:
        return _of(traffic, place, always)
    days = min(max(sample / traffic.requests_per_day, 1e-4), _MOST_DAYS) if traffic.requests_per_day else 1.0
    served = simulate(place.fleet, traffic.arrivals(days))
    scale = Decimal(str(traffic.days_per_month / days))
    spans = [end - start for start, end in served.spans]
    rented = cost(sum(billed_seconds(span, place.price) for span in spans), place.price) * scale
    held = sum((_while_running(disk, spans) for disk in place.disks if not disk.always), _ZERO) * scale
    p95 = served.wait_at(0.95)
    late = longest_wait_s is not None and p95 > longest_wait_s
    return _of(
        traffic,
        place,
        (always[0] + rented, always[1] + held),
        cold_share=served.cold / (len(served.waits) or 1),
        wait_p50_s=served.wait_at(0.5),
        wait_p95_s=p95,
        busy_hours=sum(spans) / 3600 * float(scale),
        problem=f"of 20 requests one waits longer than {longest_wait_s:g} s" if late else "",
    )


def _kept(place: Place) -> Decimal:
    """A month's storage for what is never given up."""
    month_s = float(HOURS_PER_MONTH * 3600)
    counts = [(disk, 1 if disk.always else place.fleet.min_workers) for disk in place.disks]
    return sum((storage(disk.gigabytes, month_s, disk.tariff) * count for disk, count in counts), _ZERO)


def _while_running(disk: Disk, spans: list[float]) -> Decimal:
    return storage(disk.gigabytes, whole_units(spans, disk.tariff.billed_seconds), disk.tariff)


def _fixed(place: Place) -> bool:
    """Whether its cost is the same whatever is asked."""
    return place.fleet.min_workers == place.fleet.max_workers


def _of(
    traffic: Traffic, place: Place, spent: tuple[Decimal, Decimal], *, problem: str = "", **figures: float
) -> PlaceForecast:
    """`spent` is for machines, and for storage."""
    asked, month = Decimal(str(traffic.requests_per_month)), sum(spent, _ZERO)
    told = {"cold_share": 0.0, "wait_p50_s": 0.0, "wait_p95_s": 0.0, "busy_hours": 0.0} | figures
    return PlaceForecast(
        place=place,
        usd_per_month=dollars(month, 2),
        storage_usd=dollars(spent[1], 2),
        usd_per_thousand=dollars(month / asked * 1000) if asked else None,
        problem=problem,
        **told,
    )


def forecast(traffic: Traffic, places: list[Place], *, longest_wait_s: float | None = None) -> list[PlaceForecast]:
    """Each place's month: those that will do first, the cheapest before the others. Raises InputError for no places."""
    if not places:
        raise InputError("forecast", "has no place to compare", "name at least one")
    found = [outlook(traffic, place, longest_wait_s=longest_wait_s) for place in places]
    return sorted(found, key=lambda one: (bool(one.problem), one.usd_per_month, one.wait_p95_s))


class Flip(Record):
    """From so many requests a day on, another place is the cheapest; "" is none that would do."""

    requests_per_day: float
    before: str
    after: str


def flips(traffic: Traffic, places: list[Place], *, most: float = 1e7, longest_wait_s: float | None = None) -> list[Flip]:
    """Where the cheapest rented place changes, from 1 request a day to `most`, with the traffic's shape kept as it is."""
    rented = [one for one in places if one.rented]
    steady = [one for one in rented if _fixed(one) and longest_wait_s is None]

    def cheapest(requests: float) -> str:
        asked = traffic.model_copy(update={"requests_per_day": requests})
        found = [outlook(asked, one, longest_wait_s=longest_wait_s, sample=0 if one in steady else _SWEEP) for one in rented]
        able = [one for one in found if not one.problem]
        return min(able, key=lambda one: one.usd_per_month).place.name if able else ""

    steps = math.ceil(math.log10(most) * _PER_DECADE)
    grid = [10 ** (place / _PER_DECADE) for place in range(steps + 1)]
    best, turns = [cheapest(requests) for requests in grid], list[Flip]()
    for low, high, before, after in zip(grid, grid[1:], best, best[1:], strict=False):
        if before != after:
            left, right = low, high
            for _ in range(_HALVINGS):
                middle = math.sqrt(left * right)
                left, right = (middle, right) if cheapest(middle) == before else (left, middle)
            turns.append(Flip(requests_per_day=float(f"{right:.2g}"), before=before, after=after))
    return turns


def advice(traffic: Traffic, found: list[PlaceForecast], turns: list[Flip]) -> str:
    """The recommendation in one sentence, with when it flips: of the places that are rented."""
    asked = traffic.requests_per_day
    rented = [one for one in found if one.place.rented]
    best = next((one for one in rented if not one.problem), None)
    if best is None:
        why = f": {rented[0].problem}" if rented else ""
        return f"None of these places answers {asked:,.0f} requests a day{why}."
    name = best.place.name
    below = next((turn for turn in reversed(turns) if turn.requests_per_day <= asked and turn.before != name), None)
    above = next((turn for turn in turns if turn.requests_per_day > asked and turn.after != name), None)
    said = [f"{name} is the cheapest at {asked:,.0f} requests a day: ${best.usd_per_month} a month"]
    if below:
        what = f"{below.before} is cheaper" if below.before else "none of them will do"
        said.append(f"below about {below.requests_per_day:,.0f} a day, {what}")
    if above:
        what = f"it is {above.after}" if above.after else "none of them keeps up"
        said.append(f"from about {above.requests_per_day:,.0f} a day on {what}")
    return f"{'; '.join(said)}."
