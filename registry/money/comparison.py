"""A forecast, whole, for pages and commands: every place's month of some traffic, what it rests on, and the sentence."""

from __future__ import annotations

from datetime import date

from registry.errors import InputError
from registry.money.catalogue import Catalogue
from registry.money.forecast import BreakEven, Place, PlaceForecast, advice, find_break_evens, forecast
from registry.money.places import Assumptions, list_places, shared_assumptions
from registry.money.prices import Price
from registry.money.traffic import Traffic
from registry.records import Record

BROWSER = (
    "In the visitor's browser it costs nothing, where pictures may be answered on the viewer's device: it needs a TF.js "
    "export (`modelyard space`)."
)


class Forecast(Record):
    """Every place's month, cheapest first; what it rests on; and the sentence, which is about the places that are rented."""

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
    local: Price,
    traffic: Traffic,
    assumptions: Assumptions,
    *,
    today: date,
    p95_limit_s: float | None = None,
) -> Forecast:
    """Compare the places. Raises InputError for an answer that takes no time, NotFoundError for a price that is not there."""
    if not 0 < assumptions.service_ms < float("inf"):
        raise InputError(
            f"{assumptions.service_ms} ms", "is no time that an answer takes", "give --service-ms a positive number"
        )
    compared = list_places(catalogue, local, assumptions)
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
