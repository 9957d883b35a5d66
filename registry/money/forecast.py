"""What a month of traffic costs at each place, which is cheapest, and when that turns."""

from __future__ import annotations

import math
from decimal import Decimal

from pydantic import Field

from registry.errors import InputError
from registry.money.billing import cost, dollars, monthly
from registry.money.fleet import Fleet, simulate
from registry.money.prices import Price
from registry.money.traffic import Traffic
from registry.records import Record

_SAMPLE = 40_000
_SWEEP = 2_000
_MOST_DAYS = 28.0
_BUSIEST = 0.9
"""A fleet that is busier than this on average makes its requests wait longer and longer."""
_PER_DECADE = 4
_HALVINGS = 6


class Place(Record):
    """Where a model could be served. `assumed` says what its figures rest on."""

    name: str
    price: Price
    fleet: Fleet
    assumed: list[str] = Field(default=[])

    @property
    def most_per_second(self) -> float:
        """Requests a second that it can answer at all."""
        return self.fleet.max_workers / self.fleet.service_s


class Outlook(Record):
    """A month at one place. Seconds are waits before an answer is begun; `problem` says why it will not do."""

    place: Place
    usd_per_month: Decimal
    usd_per_thousand: Decimal | None = Field(description="requests; None where there are none")
    cold_share: float
    wait_p50_s: float
    wait_p95_s: float
    busy_hours: float = Field(description="of workers that are started for requests, idle timeouts included")
    problem: str = ""


def outlook(traffic: Traffic, place: Place, *, longest_wait_s: float | None = None, sample: int = _SAMPLE) -> Outlook:
    """Simulate a stretch of about `sample` requests at one place, and reckon a month of it.

    Without a sample, a fleet that neither grows nor shrinks is not simulated: its cost is known, its waits are left out.
    """
    always = monthly(place.price) * place.fleet.min_workers
    if traffic.per_second > _BUSIEST * place.most_per_second:
        told = f"answers {place.most_per_second:.3g} requests a second at most, and {traffic.per_second:.3g} come"
        return _of(traffic, place, always, problem=told)
    if _fixed(place) and not sample:
        return _of(traffic, place, always)
    days = min(max(sample / traffic.requests_per_day, 1e-4), _MOST_DAYS) if traffic.requests_per_day else 1.0
    served = simulate(place.fleet, traffic.arrivals(days))
    scale = Decimal(str(traffic.days_per_month / days))
    spans = [end - start for start, end in served.spans]
    spent = always + sum((cost(span, place.price) for span in spans), Decimal(0)) * scale
    waits = len(served.waits) or 1
    p95 = served.wait_at(0.95)
    late = longest_wait_s is not None and p95 > longest_wait_s
    return _of(
        traffic,
        place,
        spent,
        cold_share=served.cold / waits,
        wait_p50_s=served.wait_at(0.5),
        wait_p95_s=p95,
        busy_hours=sum(spans) / 3600 * float(scale),
        problem=f"of 20 requests one waits longer than {longest_wait_s:g} s" if late else "",
    )


def _fixed(place: Place) -> bool:
    """Whether its cost is the same whatever is asked."""
    return place.fleet.min_workers == place.fleet.max_workers


def _of(traffic: Traffic, place: Place, spent: Decimal, *, problem: str = "", **figures: float) -> Outlook:
    asked = Decimal(str(traffic.requests_per_month))
    told = {"cold_share": 0.0, "wait_p50_s": 0.0, "wait_p95_s": 0.0, "busy_hours": 0.0} | figures
    each = dollars(spent / asked * 1000) if asked else None
    return Outlook(place=place, usd_per_month=dollars(spent, 2), usd_per_thousand=each, problem=problem, **told)


def forecast(traffic: Traffic, places: list[Place], *, longest_wait_s: float | None = None) -> list[Outlook]:
    """Each place's month: those that will do first, the cheapest before the others. Raises InputError for no places."""
    if not places:
        raise InputError("forecast", "has no place to compare", "name at least one")
    found = [outlook(traffic, place, longest_wait_s=longest_wait_s) for place in places]
    return sorted(found, key=lambda one: (bool(one.problem), one.usd_per_month, one.wait_p95_s))


class Flip(Record):
    """From so many requests a day on, another place is the cheapest."""

    requests_per_day: float
    before: str
    after: str


def flips(traffic: Traffic, places: list[Place], *, most: float = 1e7, longest_wait_s: float | None = None) -> list[Flip]:
    """Where the cheapest place changes, from 1 request a day to `most`, with the traffic's shape kept as it is."""
    steady = [one for one in places if _fixed(one) and longest_wait_s is None]

    def cheapest(requests: float) -> str:
        asked = traffic.model_copy(update={"requests_per_day": requests})
        found = [outlook(asked, one, longest_wait_s=longest_wait_s, sample=0 if one in steady else _SWEEP) for one in places]
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


def advice(traffic: Traffic, found: list[Outlook], turns: list[Flip]) -> str:
    """The recommendation in one sentence, with when it flips."""
    best = next((one for one in found if not one.problem), None)
    if best is None:
        return f"None of these places answers {traffic.requests_per_day:,.0f} requests a day: {found[0].problem}."
    nearest = next((turn for turn in turns if turn.requests_per_day > traffic.requests_per_day and turn.after), None)
    said = f"{best.place.name} is the cheapest at {traffic.requests_per_day:,.0f} requests a day: ${best.usd_per_month} a month"
    if nearest:
        return f"{said}, until about {nearest.requests_per_day:,.0f} a day, from where on it is {nearest.after}."
    return f"{said}."
