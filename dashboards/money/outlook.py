"""What a month of traffic would cost where, without Streamlit: in words, in bands, and with twice the traffic."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import pandas as pd

from registry.money.forecast import Place, PlaceForecast, forecast_places
from registry.money.prices import LOCAL
from registry.money.traffic import Traffic

_SWEEP = 2_000
_DOUBLED = 4_000
_MOST = 6
_SIZES = ((0.5, "small"), (2.0, "medium"), (math.inf, "large"))
"""USD an hour below which hardware is called so: what a reader compares by, who knows no hardware's name."""
_CPU = ("cpu", "intel", "amd-epyc")
"""How the providers' names of hardware without a GPU begin."""
_CENT = 0.01
_HERE = "what you have"


def describe_place(option: Place) -> str:
    """A place by what it is: how large, and whether it sleeps. Its provider's name for it is in the table of all figures."""
    if not option.rented:
        return "the visitor's own device"
    if option.price.hardware == LOCAL:
        return "a process on this machine, always on"
    provider = {"runpod": "RunPod", "huggingface": "Hugging Face"}.get(option.price.provider, option.price.provider)
    size = next(name for limit, name in _SIZES if float(option.price.usd_per_hour) < limit)
    kind = "CPU" if option.price.hardware.startswith(_CPU) else "GPU"
    kept = option.fleet.min_workers
    sleeps = "sleeps when idle" if not kept else f"{kept} always on" if kept > 1 else "always on"
    return f"{size} {kind}, {sleeps} ({provider})"


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
    rows = [
        (
            describe_place(forecast.place),
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
    """Every place's month with twice the requests, from a shorter stretch: it is shown to two digits."""
    doubled = traffic.model_copy(update={"requests_per_day": 2 * traffic.requests_per_day})
    return forecast_places(doubled, places, sample=_DOUBLED)


def bars_table(now: Sequence[PlaceForecast], doubled: Sequence[PlaceForecast]) -> pd.DataFrame:
    """Columns what, traffic, usd, yours: the places that serve the traffic, for a chart beside the sentence."""
    rows = [
        (describe_place(forecast.place), name, float(forecast.usd_per_month), forecast.place.chosen)
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
