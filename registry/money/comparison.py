"""A whole forecast for pages and commands: every place's month of some traffic, the assumptions, the recommendation."""

from __future__ import annotations

from datetime import date
from typing import NamedTuple

from registry.errors import InputError
from registry.money.catalogue import Catalogue
from registry.money.forecast import BreakEven, Place, PlaceForecast, advice, find_break_evens, forecast
from registry.money.places import Assumptions, list_places, shared_assumptions
from registry.money.plans import ServingPlan
from registry.money.prices import Price
from registry.money.traffic import Traffic
from registry.records import Record

BROWSER = (
    "Running in the visitor's browser costs nothing, where pictures may be processed on their device; it needs a TF.js "
    "export (`modelyard space`)."
)


class Options(NamedTuple):
    """What is compared: this machine at its price, and plans of serving elsewhere."""

    local: Price
    plans: list[ServingPlan]


class Forecast(Record):
    """Every place's month, cheapest first; the assumptions; the recommendation, about rented places."""

    traffic: Traffic
    service_ms: float
    service_from: str
    ground: Assumptions
    places: list[PlaceForecast]
    flips: list[BreakEven]
    advice: str
    browser: str = BROWSER
    assumed: list[str]
    stale: list[str]


def compare(
    catalogue: Catalogue,
    options: Options,
    traffic: Traffic,
    assumptions: Assumptions,
    *,
    today: date,
    p95_limit_s: float | None = None,
) -> Forecast:
    """Compare the options, the cheapest pod and the visitor's browser.

    Raises InputError for a latency that is not positive, NotFoundError for a missing price.
    """
    if not 0 < assumptions.service_ms < float("inf"):
        raise InputError(f"{assumptions.service_ms} ms", "is not a latency", "give --service-ms a positive number")
    compared = list_places(catalogue, options.local, assumptions, options.plans)
    forecasts = forecast(traffic, compared, p95_limit_s=p95_limit_s)
    turns = find_break_evens(traffic, compared, p95_limit_s=p95_limit_s)
    return Forecast(
        traffic=traffic,
        service_ms=assumptions.service_ms,
        service_from=assumptions.service_from,
        ground=assumptions,
        places=forecasts,
        flips=turns,
        advice=advice(traffic, forecasts, turns),
        assumed=shared_assumptions(assumptions),
        stale=_stale(catalogue, compared, today),
    )


def _stale(catalogue: Catalogue, compared: list[Place], today: date) -> list[str]:
    used = {option.price.key for option in compared if option.rented}
    return [
        f"{' '.join(entry.price.key)}: {entry.age(today)} days old ({entry.price.source})"
        for entry in catalogue.current()
        if entry.price.key in used and entry.stale(today)
    ]
