"""`prices` and `forecast`: what things cost, and what they would."""

from __future__ import annotations

from typing import Annotated

import typer

from pipelines.cli.context import Home, workshop
from pipelines.cli.output import AsJson, answer, say, table


def prices(
    *,
    refresh: Annotated[bool, typer.Option("--refresh", help="Ask RunPod and Hugging Face, where there is a key.")] = False,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """The price catalogue: what an hour costs where, since when, and by what source. Old prices are kept."""
    from pipelines.prices import prices as read_prices
    from pipelines.prices import refresh as refresh_prices
    from pipelines.prices import today
    from registry.errors import UnavailableError

    settings = workshop(home).settings
    done = refresh_prices(settings) if refresh else None
    for line in [*done.said, *done.failed] if done else []:
        say(line)
    known = read_prices(settings)
    answer(known.model_dump(mode="json"), as_json=as_json)
    if not as_json:
        rows = [
            (
                *one.price.key,
                f"${one.price.usd_per_hour.normalize():f}",
                one.price.as_of,
                _age(one.age(today())),
            )
            for one in known.current()
        ]
        table("prices, US dollars an hour", ["provider", "product", "hardware", "price", "since", "last seen"], rows)
    if done and not done.said:
        raise UnavailableError("prices", "could not be refreshed; those that are known stay", "see the lines above")


def _age(days: int) -> str:
    from registry.money.catalogue import STALE_DAYS

    return f"{days} days ago{', stale' if days > STALE_DAYS else ''}"


def forecast(
    ref: Annotated[str | None, typer.Argument(metavar="[REF]", help="A version whose latency was measured.")] = None,
    *,
    requests: Annotated[float, typer.Option(help="Requests on a day.", min=0, max=1e9)] = 1000,
    hours: Annotated[float, typer.Option(help="Hours of a day in which they come.", min=0.01, max=24)] = 24,
    days: Annotated[float, typer.Option(help="Days of a week on which they come.", min=0.1, max=7)] = 7,
    burst: Annotated[float, typer.Option(help="How many come at the same moment, on average.", min=1, max=10_000)] = 1,
    service_ms: Annotated[float | None, typer.Option(help="Milliseconds of work for an answer.", min=0.001)] = None,
    runpod_cold_s: Annotated[float, typer.Option(help="Seconds until a RunPod worker answers.", min=0)] = 8,
    hf_cold_s: Annotated[float, typer.Option(help="Seconds until a sleeping endpoint at Hugging Face answers.", min=0)] = 120,
    longest_wait_s: Annotated[float | None, typer.Option(help="Leave out where 1 request of 20 waits longer.", min=0)] = None,
    max_workers: Annotated[int, typer.Option(help="Workers at most, where they come and go.", min=1, max=1000)] = 3,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """What a month of this traffic would cost at each place, which is the cheapest, and when that changes."""
    from pipelines.forecast import Asked, forecast_costs
    from registry.money.traffic import Traffic

    traffic = Traffic(requests_per_day=requests, hours_per_day=hours, days_per_week=days, burst=burst)
    told = {"runpod_cold_s": runpod_cold_s, "hf_cold_s": hf_cold_s, "longest_wait_s": longest_wait_s}
    asked = Asked(traffic=traffic, service_ms=service_ms, max_workers=max_workers, **told)
    found = forecast_costs(workshop(home), asked, ref)
    answer(found.model_dump(mode="json"), as_json=as_json)
    if as_json:
        return
    rows = [
        (
            one.place.name,
            f"${one.usd_per_month}",
            "" if one.usd_per_thousand is None else f"${one.usd_per_thousand.normalize():f}",
            f"{one.cold_share:.1%}",
            f"{one.wait_p95_s:.3g} s",
            one.problem or "; ".join(one.place.assumed),
        )
        for one in found.places
    ]
    print(found.advice)
    table("a month", ["place", "month", "per 1,000", "cold", "p95 wait", "what it rests on"], rows)
    print(f"An answer takes {found.service_ms:g} ms ({found.service_from}). {found.browser}")
    for line in found.stale:
        say(f"stale price: {line}; run `modelyard prices --refresh`")


def add_to(app: typer.Typer) -> None:
    """Add this group's commands."""
    for command in (prices, forecast):
        app.command()(command)
