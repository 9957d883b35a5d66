"""What a month of traffic costs at each place, which is the cheapest, and at how much traffic that changes."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from decimal import Decimal

from pydantic import Field

from registry.amounts import round_usd
from registry.errors import InputError
from registry.money.billing import HOURS_PER_MONTH, billed_seconds, cost, monthly_cost, storage_cost, total_billed_seconds
from registry.money.fleet import Fleet, simulate
from registry.money.prices import Price, StoragePrice
from registry.money.traffic import DAY_S, Traffic
from registry.records import Record

_SAMPLE = 20_000
_SWEEP = 2_000
_LEAST_S, _MOST_SAMPLES = 7_200, 7
_MOST_DAYS = 28.0
_BUSIEST = 0.9
"""A fleet that is busier than this on average makes its requests wait longer and longer."""
_PER_DECADE = 4
_HALVINGS = 6
_ZERO = Decimal(0)


class Disk(Record):
    """What is kept for serving: for each worker while it runs, or once, all month."""

    tariff: StoragePrice
    gigabytes: float = Field(ge=0, allow_inf_nan=False)
    always: bool = False


class Place(Record):
    """Where a model could be served. `assumed` says what its figures rest on.

    What is not `rented`, such as the visitor's own browser, costs nothing and keeps up with any traffic. `starts_disputed`:
    the provider's pages contradict each other on whether a worker's start is billed. `chosen`: the job deploys there.
    """

    name: str
    price: Price
    fleet: Fleet
    assumed: list[str] = Field(default=[])
    disks: list[Disk] = Field(default=[])
    rented: bool = True
    starts_disputed: bool = False
    chosen: bool = False

    @property
    def is_paid(self) -> bool:
        """Whether its month is a price to choose by: not the visitor's browser's, nor this machine's where no rate is set."""
        return self.rented and self.price.is_set

    @property
    def most_per_second(self) -> float:
        """Requests per second that it can handle at most."""
        return self.fleet.max_workers / self.fleet.service_s


class PlaceForecast(Record):
    """A month at one place. Seconds are waits until an answer is begun; `problem` says why it does not qualify.

    `usd_per_month` counts every start; `usd_per_month_least` leaves starts out, where that is disputed.
    """

    place: Place
    usd_per_month: Decimal
    usd_per_month_least: Decimal | None = None
    storage_usd: Decimal = Field(default=_ZERO, description="the part of it that is for storage")
    usd_per_thousand: Decimal | None = Field(description="requests; None where there are none")
    cold_share: float
    wait_p50_s: float
    wait_p95_s: float
    busy_hours: float = Field(description="of workers that are started for requests, idle timeouts included")
    problem: str = ""


def forecast_place(
    traffic: Traffic,
    option: Place,
    *,
    p95_limit_s: float | None = None,
    sample: int = _SAMPLE,
    drawn: Sequence[float] | None = None,
) -> PlaceForecast:
    """Simulate a stretch of about `sample` requests at one place, and compute a month from it.

    Without a sample, a fleet that neither grows nor shrinks is not simulated: its cost is known, its waits are left out.
    `drawn` are the arrivals of such a stretch, where they are known already: every place gets the same.
    """
    always = (monthly_cost(option.price) * option.fleet.min_workers, _fixed_storage(option))
    if not option.rented:
        return _place_forecast(traffic, option, (_ZERO, _ZERO))
    if traffic.per_second > _BUSIEST * option.most_per_second:
        problem = f"handles at most {option.most_per_second:.3g} requests per second, and {traffic.per_second:.3g} arrive"
        return _place_forecast(traffic, option, always, problem=problem)
    if _is_fixed(option) and not sample:
        return _place_forecast(traffic, option, always)
    days = _stretch(traffic, sample)
    served = simulate(option.fleet, traffic.arrivals(days) if drawn is None else drawn)
    scale = Decimal(str(traffic.days_per_month / days))
    last = _end_of(traffic, days)  # an idle timeout after it belongs to the next stretch: a short one would count it many times
    spans = [min(end, last) - start for start, end in served.spans if start < last]
    rented = _rent(option, spans) * scale
    least = None
    if option.starts_disputed:
        least = always[0] + _rent(option, [max(span - option.fleet.cold_start_s, 0.0) for span in spans]) * scale
    held = sum((_disk_cost(disk, spans) for disk in option.disks if not disk.always), _ZERO) * scale
    p95 = served.wait_quantile(0.95)
    late = p95_limit_s is not None and p95 > p95_limit_s
    return _place_forecast(
        traffic,
        option,
        (always[0] + rented, always[1] + held),
        least,
        cold_share=served.cold / (len(served.waits) or 1),
        wait_p50_s=served.wait_quantile(0.5),
        wait_p95_s=p95,
        busy_hours=sum(spans) / 3600 * float(scale),
        problem=f"p95 wait of {p95:.3g} s is above the limit of {p95_limit_s:g} s" if late else "",
    )


def forecast_places(
    traffic: Traffic, places: Iterable[Place], *, p95_limit_s: float | None = None, sample: int = _SAMPLE
) -> list[PlaceForecast]:
    """The same of several places, in their order: the same requests come to each."""
    drawn = list(traffic.arrivals(_stretch(traffic, sample)))
    return [forecast_place(traffic, option, p95_limit_s=p95_limit_s, sample=sample, drawn=drawn) for option in places]


def _stretch(traffic: Traffic, sample: int) -> float:
    """In how many days about so many requests come: 28 at most.

    A whole sample is two hours of traffic at least, up to seven times as many requests: a worker that is started once in half
    an hour, and then stays, is half of what a month costs.
    """
    if not traffic.requests_per_day:
        return 1.0
    if sample >= _SAMPLE:
        sample = max(sample, min(round(traffic.per_second * _LEAST_S), _MOST_SAMPLES * sample))
    return min(max(sample / traffic.requests_per_day, 1e-4), _MOST_DAYS)


def _end_of(traffic: Traffic, days: float) -> float:
    """When so many active days end, in seconds from the start of the first: nights are between them."""
    whole = math.floor(days)
    return whole * DAY_S + (days - whole) * traffic.hours_per_day * 3600


def _rent(option: Place, spans: list[float]) -> Decimal:
    """What workers cost that ran for so long each."""
    return cost(sum(billed_seconds(span, option.price) for span in spans), option.price)


def _fixed_storage(option: Place) -> Decimal:
    """A month's storage of what is kept all month."""
    month_s = float(HOURS_PER_MONTH * 3600)
    counts = [(disk, 1 if disk.always else option.fleet.min_workers) for disk in option.disks]
    return sum((storage_cost(disk.gigabytes, month_s, disk.tariff) * count for disk, count in counts), _ZERO)


def _disk_cost(disk: Disk, spans: list[float]) -> Decimal:
    return storage_cost(disk.gigabytes, total_billed_seconds(spans, disk.tariff.billed_seconds), disk.tariff)


def _is_fixed(option: Place) -> bool:
    """Whether its cost does not depend on traffic."""
    return option.fleet.min_workers == option.fleet.max_workers


def _place_forecast(
    traffic: Traffic,
    option: Place,
    spent: tuple[Decimal, Decimal],
    least: Decimal | None = None,
    *,
    problem: str = "",
    **figures: float,
) -> PlaceForecast:
    """`spent` is for machines, and for storage; `least` is for machines whose starts cost nothing."""
    asked, month = Decimal(str(traffic.requests_per_month)), sum(spent, _ZERO)
    fields = {"cold_share": 0.0, "wait_p50_s": 0.0, "wait_p95_s": 0.0, "busy_hours": 0.0} | figures
    return PlaceForecast(
        place=option,
        usd_per_month=round_usd(month, 2),
        usd_per_month_least=None if least is None else round_usd(least + spent[1], 2),
        storage_usd=round_usd(spent[1], 2),
        usd_per_thousand=round_usd(month / asked * 1000) if asked else None,
        problem=problem,
        **fields,
    )


def forecast(traffic: Traffic, places: list[Place], *, p95_limit_s: float | None = None) -> list[PlaceForecast]:
    """Each place's month: those without a problem first, by cost, then what is not rented. Raises InputError for no places."""
    if not places:
        raise InputError("forecast", "has no place to compare", "name at least one")
    forecasts = forecast_places(traffic, places, p95_limit_s=p95_limit_s)
    return sorted(forecasts, key=lambda month: (bool(month.problem), month.usd_per_month, month.place.rented, month.wait_p95_s))


class BreakEven(Record):
    """From so many requests per day on, another place is the cheapest; "" is none without a problem."""

    requests_per_day: float
    before: str
    after: str


def find_break_evens(
    traffic: Traffic, places: list[Place], *, most: float = 1e7, p95_limit_s: float | None = None
) -> list[BreakEven]:
    """Where the cheapest place that is paid for changes, from 1 request per day to `most`; the traffic's shape stays."""
    rented = [option for option in places if option.is_paid]
    steady = [option for option in rented if _is_fixed(option) and p95_limit_s is None]
    moving = [option for option in rented if option not in steady]

    def cheapest(requests: float) -> str:
        asked = traffic.model_copy(update={"requests_per_day": requests})
        forecasts = [forecast_place(asked, option, sample=0) for option in steady]
        forecasts += forecast_places(asked, moving, p95_limit_s=p95_limit_s, sample=_SWEEP)
        able = [month for month in forecasts if not month.problem]
        return min(able, key=lambda month: month.usd_per_month).place.name if able else ""

    steps = math.ceil(math.log10(most) * _PER_DECADE)
    grid = [10 ** (step / _PER_DECADE) for step in range(steps + 1)]
    best, turns = [cheapest(requests) for requests in grid], list[BreakEven]()
    for low, high, before, after in zip(grid, grid[1:], best, best[1:], strict=False):
        if before != after:
            left, right = low, high
            for _ in range(_HALVINGS):
                middle = math.sqrt(left * right)
                left, right = (middle, right) if cheapest(middle) == before else (left, middle)
            turns.append(BreakEven(requests_per_day=float(f"{right:.2g}"), before=before, after=after))
    return turns


def advice(traffic: Traffic, forecasts: list[PlaceForecast], turns: list[BreakEven]) -> str:
    """The recommendation in one sentence, with the nearest break-even points: of the places that are paid for."""
    asked = traffic.requests_per_day
    rented = [month for month in forecasts if month.place.is_paid]
    best = next((month for month in rented if not month.problem), None)
    if best is None:
        why = f": {rented[0].problem}" if rented else ""
        return f"No place handles {asked:,.0f} requests per day{why}."
    name = best.place.name
    below = next((turn for turn in reversed(turns) if turn.requests_per_day <= asked and turn.before != name), None)
    above = next((turn for turn in turns if turn.requests_per_day > asked and turn.after != name), None)
    sentences = [f"{name} is the cheapest at {asked:,.0f} requests per day: ${best.usd_per_month} per month"]
    if below:
        what = f"{below.before} is cheaper" if below.before else "no place qualifies"
        sentences.append(f"below about {below.requests_per_day:,.0f} per day, {what}")
    if above:
        what = f"{above.after} is cheaper" if above.after else "no place keeps up"
        sentences.append(f"from about {above.requests_per_day:,.0f} per day on, {what}")
    return f"{'; '.join(sentences)}."
