"""A forecast, whole, for pages and commands: every place's month of some traffic, what it rests on, and the sentence."""

from __future__ import annotations

from datetime import date

from registry.errors import InputError
from registry.money.catalogue import Catalogue
from registry.money.forecast import Flip, Place, PlaceForecast, advice, flips, forecast
from registry.money.places import Assumptions, places, shared_assumptions
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
    flips: list[Flip]
    advice: str
    browser: str = BROWSER
    assumed: list[str]
    stale: list[str]


def compare(
    known: Catalogue, local: Price, traffic: Traffic, ground: Assumptions, *, today: date, longest_wait_s: float | None = None
) -> Forecast:
    """Compare the places. Raises InputError for an answer that takes no time, NotFoundError for a price that is not there."""
    if not 0 < ground.service_ms < float("inf"):
        raise InputError(f"{ground.service_ms} ms", "is no time that an answer takes", "give --service-ms a positive number")
    compared = places(known, local, ground)
    found = forecast(traffic, compared, longest_wait_s=longest_wait_s)
    turns = flips(traffic, compared, longest_wait_s=longest_wait_s)
    return Forecast(
        traffic=traffic,
        service_ms=ground.service_ms,
        service_from=ground.service_from,
        ground=ground,
        places=found,
        flips=turns,
        advice=advice(traffic, found, turns),
        assumed=shared_assumptions(ground),
        stale=_stale(known, compared, today),
    )


def _stale(known: Catalogue, compared: list[Place], today: date) -> list[str]:
    used = {place.price.key for place in compared if place.rented}
    return [
        f"{' '.join(one.price.key)}: {one.age(today)} days old ({one.price.source})"
        for one in known.current()
        if one.price.key in used and one.stale(today)
    ]
