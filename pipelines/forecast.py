"""What a month of traffic would cost where: the catalogue's prices, a measured latency, and assumptions that are named."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipelines.prices import prices
from registry.errors import InputError, NotFoundError
from registry.events import Exported
from registry.judging import resolve
from registry.money.forecast import Flip, Outlook, advice, flips, forecast
from registry.money.places import Assumed, places
from registry.money.prices import local_price, today
from registry.money.traffic import Traffic
from registry.records import Record
from registry.refs import parse_ref

if TYPE_CHECKING:
    from pipelines.wiring import Workshop

_UNMEASURED_MS = 50.0


class Asked(Record):
    """What a forecast is made for. Seconds and milliseconds; what is None is measured or assumed."""

    traffic: Traffic
    service_ms: float | None = None
    longest_wait_s: float | None = None
    assumed: Assumed = Assumed()


class Forecast(Record):
    """Every place's month, cheapest first; what it rests on; and the sentence."""

    traffic: Traffic
    service_ms: float
    service_from: str
    places: list[Outlook]
    flips: list[Flip]
    advice: str
    browser: str
    stale: list[str]


def forecast_costs(workshop: Workshop, asked: Asked, ref: str | None = None) -> Forecast:
    """Compare the places. Raises NotFoundError for a version that was not exported, InputError for a latency that is none."""
    service_ms, source = _service(workshop, asked, ref)
    if not 0 < service_ms < float("inf"):
        raise InputError(f"{service_ms} ms", "is no time that an answer takes", "give --service-ms a positive number")
    known = prices(workshop.settings)
    compared = places(known, local_price(workshop.settings), service_ms / 1e3, asked.assumed)
    found = forecast(asked.traffic, compared, longest_wait_s=asked.longest_wait_s)
    turns = flips(asked.traffic, compared, longest_wait_s=asked.longest_wait_s)
    used = {place.price.key for place in compared}
    stale = [
        f"{' '.join(one.price.key)}: {one.age(today())} days old ({one.price.source})"
        for one in known.current()
        if one.price.key in used and one.stale(today())
    ]
    return Forecast(
        traffic=asked.traffic,
        service_ms=service_ms,
        service_from=source,
        places=found,
        flips=turns,
        advice=advice(asked.traffic, found, turns),
        browser="In the visitor's browser it costs nothing, where pictures may be answered on the device (`modelyard space`).",
        stale=stale,
    )


def _service(workshop: Workshop, asked: Asked, ref: str | None) -> tuple[float, str]:
    if asked.service_ms is not None:
        return asked.service_ms, "as told by --service-ms"
    if ref is None:
        return _UNMEASURED_MS, "assumed: name a version, or tell --service-ms"
    yard = workshop.bare_yard()
    version = resolve(yard.store, parse_ref(ref))
    rows = [entry.event for entry in yard.ledger.entries(version.model)]
    measured = [one.latency for one in rows if isinstance(one, Exported) and one.identity == version.identity and one.latency]
    if not measured:
        raise NotFoundError(f"latency of {ref}", "was not measured yet", f"run `modelyard export {ref}`")
    return measured[-1].p50_ms, f"measured on this machine, {ref}, median of {measured[-1].requests}"
