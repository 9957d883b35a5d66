"""What a month of traffic would cost where: the catalogue's prices, a measured latency, and assumptions that are named."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipelines.prices import prices, today
from registry.errors import InputError, NotFoundError
from registry.events import Exported
from registry.judging import resolve
from registry.money.catalogue import Catalogue
from registry.money.fleet import Fleet
from registry.money.forecast import Flip, Outlook, Place, advice, flips, forecast
from registry.money.prices import Price, local_price
from registry.money.traffic import Traffic
from registry.records import Record
from registry.refs import parse_ref

if TYPE_CHECKING:
    from pipelines.wiring import Workshop

_SERVERLESS, _SLEEPING_GPU = "AMPERE_16", "nvidia-t4 x1"
_CPU = "intel-spr x1"
_UNMEASURED_MS = 50.0


class Asked(Record):
    """What a forecast is made for. Seconds and milliseconds; what is None is measured or assumed."""

    traffic: Traffic
    service_ms: float | None = None
    runpod_cold_s: float = 8.0
    hf_cold_s: float = 120.0
    longest_wait_s: float | None = None
    max_workers: int = 3


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
    compared = places(known, local_price(workshop.settings), asked, service_ms / 1e3)
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


def places(known: Catalogue, local: Price, asked: Asked, service_s: float) -> list[Place]:
    """Seven ways to serve, from the catalogue's newest prices."""
    serverless = known.find("runpod", "serverless", _SERVERLESS).price
    cpu, gpu = (known.find("huggingface", "endpoint", name).price for name in (_CPU, _SLEEPING_GPU))
    pods = [one.price for one in known.current() if one.price.key[:2] == ("runpod", "pod")]
    pod = min(pods, key=lambda one: one.usd_per_hour)
    many = {"service_s": service_s, "max_workers": asked.max_workers}
    on = {"service_s": service_s, "min_workers": 1, "max_workers": 1}
    started = f"a worker starts in {asked.runpod_cold_s:g} s (assumed; measure your own)"
    woken = f"a replica wakes in {asked.hf_cold_s:g} s (assumed), and sleeps after 15 minutes"
    idle = "a worker stays 5 s after its last answer"
    flex = Fleet(**many, cold_start_s=asked.runpod_cold_s, idle_s=5)
    kept = Fleet(**many, min_workers=1, cold_start_s=asked.runpod_cold_s, idle_s=5)
    naps = Fleet(**many, cold_start_s=asked.hf_cold_s, idle_s=900)
    stays = "one, always on"
    return [
        _place(f"RunPod Serverless {_SERVERLESS}", serverless, flex, [started, idle]),
        _place(f"RunPod Serverless {_SERVERLESS}, one kept on", serverless, kept, [started, "no discount for what is kept on"]),
        _place(f"RunPod pod {pod.hardware}", pod, Fleet(**on), [stays, "the cheapest GPU of the secure cloud"]),
        _place(f"Hugging Face {_CPU}, asleep when idle", cpu, naps, [woken]),
        _place(f"Hugging Face {_CPU}, always on", cpu, Fleet(**on), [stays]),
        _place(f"Hugging Face {_SLEEPING_GPU}, asleep when idle", gpu, naps, [woken]),
        _place("this machine", local, Fleet(**on), [local.source]),
    ]


def _place(name: str, price: Price, fleet: Fleet, assumed: list[str]) -> Place:
    told = f"${price.usd_per_hour.normalize():f} an hour, {price.as_of} ({price.source})"
    return Place(name=name, price=price, fleet=fleet, assumed=[told, *assumed])
