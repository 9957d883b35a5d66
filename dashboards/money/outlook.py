"""What a month of traffic would cost where, without Streamlit: in words, in bands, and with twice the traffic."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Sequence

import pandas as pd

from registry.money.forecast import Place, PlaceForecast, forecast_places
from registry.money.prices import LOCAL
from registry.money.traffic import Traffic

_SWEEP = 1_000
_MOST = 6
_SIZES = ((25.0, "small"), (50.0, "medium"), (math.inf, "large"))
"""Gigabytes of a GPU's memory, and CPUs times ten, below which hardware is called so by who knows no hardware's name."""
_CPU = ("cpu", "intel", "amd-epyc")
"""How the providers' names of hardware without a GPU begin."""
_GIGABYTES = {"t4": 16, "a10g": 24, "a10": 24, "l4": 24, "a40": 48, "l40": 48, "l40s": 48, "a100": 80, "h100": 80, "h200": 141}
_POOL = re.compile(r"_(\d+)(?:_PRO)?$")
"""RunPod's pools end in a GPU's gigabytes."""
_TIMES = re.compile(r"\bx(\d+)\b|with (\d+) vCPU")
_CENT = 0.01
_HERE = "what you have"


def describe_place(option: Place) -> str:
    """A place by what it is: how large, and whether it sleeps. Its provider's name for it is in the table of all figures."""
    if not option.rented:
        return "the visitor's own device"
    if option.price.hardware == LOCAL:
        return "a process on this machine, always on"
    provider = {"runpod": "RunPod", "huggingface": "Hugging Face"}.get(option.price.provider, option.price.provider)
    kind = "CPU" if option.price.hardware.startswith(_CPU) else "GPU"
    size = _size(option, kind)
    kept = option.fleet.min_workers
    sleeps = "sleeps when idle" if not kept else f"{kept} always on" if kept > 1 else "always on"
    return f"{size} {kind}, {sleeps} ({provider})".strip()


def _size(option: Place, kind: str) -> str:
    """In one word; "" of a GPU whose memory nobody here knows."""
    hardware = option.price.hardware
    count = max((int(number) for pair in _TIMES.findall(f"{hardware} {option.name}") for number in pair if number), default=1)
    pool = _POOL.search(hardware)
    words = re.split(r"[^a-z0-9]+", hardware.lower())
    each = (
        10 if kind == "CPU" else int(pool[1]) if pool else next((_GIGABYTES[word] for word in words if word in _GIGABYTES), 0)
    )
    return next(name for limit, name in _SIZES if each * count < limit) if each else ""


def descriptions(places: Sequence[Place]) -> dict[str, str]:
    """Name of a place → what it is, with the stage that it is deployed for; what else tells it apart where two are alike."""
    texts = {option.name: f"{_stage(option)}{describe_place(option)}" for option in places}
    alike = Counter(texts.values())
    return {
        option.name: text if alike[text := texts[option.name]] == 1 else f"{text}: {option.name.removeprefix(_stage(option))}"
        for option in places
    }


def _stage(option: Place) -> str:
    """What a job's own place is named with before its plan's name."""
    return f"{option.name.partition(': ')[0]}: " if option.chosen and ": " in option.name else ""


def band(forecast: PlaceForecast) -> str:
    """A month in US dollars as widely as it is known: two digits, and a range where a provider's rules leave one."""
    most, least = float(forecast.usd_per_month), forecast.usd_per_month_least
    low, high = _rough(most if least is None else float(least)), _rough(most)
    if not most:
        return "$0"
    return f"about ${high}" if low == high else f"${low} to ${high}"


def _rough(usd: float) -> str:
    """Two digits that count, and no fraction of a cent."""
    if usd < _CENT:
        return f"{_CENT if usd else 0}"
    digits = max(1 - math.floor(math.log10(usd)), -12)
    rounded = round(usd, digits)
    return f"{rounded:,.0f}" if rounded >= 10 else f"{rounded:.2f}" if rounded < 1 else f"{rounded:.1f}"  # noqa: PLR2004


def bands_table(now: Sequence[PlaceForecast], doubled: Sequence[PlaceForecast]) -> pd.DataFrame:
    """One row a place: what it is, whether it is what the job deploys, its month, the same with twice the traffic, why not.

    What decides comes first: a phone shows the first two columns.
    """
    twice = {forecast.place.name: forecast for forecast in doubled}
    names = descriptions([forecast.place for forecast in now])
    rows = [
        (
            names[forecast.place.name],
            band(forecast) if not forecast.problem else "cannot serve it",
            _HERE if forecast.place.chosen else "",
            band(other) if not (other := twice[forecast.place.name]).problem else "cannot serve it",
            forecast.problem,
        )
        for forecast in now
    ]
    return pd.DataFrame(rows, columns=["what", "per month", "yours", "twice the traffic", "problem"])


def headline(forecasts: Iterable[PlaceForecast], traffic: Traffic) -> str:
    """The cheapest place that is paid for, in words and as widely as it is known."""
    able = [forecast for forecast in forecasts if forecast.place.is_paid and not forecast.problem]
    requests = f"{traffic.requests_per_day:,.0f} requests per day"
    if not able:
        return f"No place handles {requests}."
    best = able[0]
    yours = f", {_HERE}" if best.place.chosen else ""
    return f"The cheapest at {requests}: {describe_place(best.place)}{yours}, {band(best)} per month."


def twice(traffic: Traffic, places: Sequence[Place]) -> list[PlaceForecast]:
    """Every place's month with twice the requests, as exactly as with these: they are compared."""
    doubled = traffic.model_copy(update={"requests_per_day": 2 * traffic.requests_per_day})
    return forecast_places(doubled, places)


def bars_table(now: Sequence[PlaceForecast], doubled: Sequence[PlaceForecast]) -> pd.DataFrame:
    """Columns what, traffic, usd, yours: the places that serve the traffic, for a chart beside the sentence."""
    names = descriptions([forecast.place for forecast in now])
    rows = [
        (names[forecast.place.name], name, float(forecast.usd_per_month), forecast.place.chosen)
        for name, forecasts in (("this traffic", now), ("twice the traffic", doubled))
        for forecast in forecasts
        if not forecast.problem and forecast.place.rented
    ]
    return pd.DataFrame(rows, columns=["what", "traffic", "usd", "yours"])


def outlook_table(forecasts: Iterable[PlaceForecast]) -> pd.DataFrame:
    """One row a place: the month, its parts, and the problem where the place cannot serve the traffic."""
    rows = [
        {
            "place": forecast.place.name,
            "per month": float(forecast.usd_per_month),
            "least": None if forecast.usd_per_month_least is None else float(forecast.usd_per_month_least),
            "storage": float(forecast.storage_usd),
            "per 1,000": None if forecast.usd_per_thousand is None else float(forecast.usd_per_thousand),
            "cold": 100 * forecast.cold_share,
            "p95 wait": forecast.wait_p95_s,
            "problem": forecast.problem,
        }
        for forecast in forecasts
    ]
    return pd.DataFrame(rows, columns=["place", "per month", "least", "storage", "per 1,000", "cold", "p95 wait", "problem"])


def break_even(traffic: Traffic, places: Sequence[Place]) -> pd.DataFrame:
    """Columns requests, place, usd: a month at each place that is paid for and keeps up, at 1 to 1,000,000 requests per day."""
    rows = list[tuple[float, str, float]]()
    for step in range(2 * _MOST + 1):
        load = traffic.model_copy(update={"requests_per_day": 10 ** (step / 2)})
        for forecast in forecast_places(load, [option for option in places if option.is_paid], sample=_SWEEP):
            if not forecast.problem:
                rows.append((load.requests_per_day, forecast.place.name, max(float(forecast.usd_per_month), 0.01)))
    return pd.DataFrame(rows, columns=["requests", "place", "usd"])
