"""`costs`, `budget`, `bills`, `prices` and `forecast`: what things cost, and what they would."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from pipelines.cli.context import Home, workshop
from pipelines.cli.output import AsJson, answer, say, table

budget = typer.Typer(help="What a model may spend in a month.", no_args_is_help=True)
bills = typer.Typer(help="What providers billed, into the ledger.", no_args_is_help=True)


class By(StrEnum):
    """How costs are summed."""

    RUN = "run"
    MODEL = "model"
    PERSON = "person"
    PROVIDER = "provider"
    MONTH = "month"
    ENDPOINT = "endpoint"


def costs(
    *,
    by: Annotated[By | None, typer.Option(help="Sum up by this, failed runs and time that endpoints stood included.")] = None,
    month: Annotated[str | None, typer.Option(help="Only this month, as 2026-11, in UTC.")] = None,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """What training and serving cost, from the ledger: by version, or summed up."""
    from pipelines.costs import costs as read_costs
    from pipelines.costs import summed

    shop = workshop(home)
    if by is not None or month is not None:
        found = summed(shop, (by or By.MODEL).value, month)
        answer(found.model_dump(mode="json"), as_json=as_json)
        if not as_json:
            cells = [
                (
                    g.key,
                    f"${g.training_usd}",
                    f"${g.failed_usd}",
                    f"${g.serving_usd}",
                    f"${g.usd}",
                    g.runs,
                    g.promoted or "",
                    _usd(g.per_promoted_usd),
                )
                for g in found.groups
            ]
            heads = [found.by, "training", "failed", "serving", "together", "runs", "promoted", "per promoted"]
            table(f"costs{f' in {month}' if month else ''}", heads, cells)
            print(f"together ${found.usd}, of which ${found.billed_usd} are billed")
        return
    report = read_costs(shop)
    answer(report.model_dump(mode="json"), as_json=as_json)
    if not as_json:
        shown = [(line.ref, line.what, line.detail, f"${line.usd}") for line in report.lines]
        table("costs", ["version", "what", "detail", "USD"], shown)
        print(f"training so far ${report.training_usd}; serving ${report.serving_usd_per_month} a month")
        print(f"price of this machine: ${report.price.usd_per_hour}/h, {report.price.source}")


def _usd(amount: object) -> str:
    return "" if amount is None else f"${amount}"


@budget.command()
def show(
    model: Annotated[str, typer.Argument(metavar="MODEL")],
    *,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """What a model spent this month, and what it may."""
    from pipelines.budgets import standing_of
    from registry.events import now

    found = standing_of(workshop(home).ledger().entries(model), model, now())
    answer(found.model_dump(mode="json"), as_json=as_json, text=str(found))


@budget.command()
def override(
    model: Annotated[str, typer.Argument(metavar="MODEL")],
    *,
    reason: Annotated[str, typer.Option(help="Why; it goes into the ledger with your name.")],
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Let a model spend more than its budget until the month ends."""
    from pipelines.budgets import override as override_budget
    from pipelines.identity import whoami

    shop = workshop(home)
    event = override_budget(shop.ledger(), model, reason, whoami(shop.settings))
    answer(event.model_dump(mode="json"), as_json=as_json, text=str(event))


@bills.command(name="import")
def import_(
    path: Annotated[Path, typer.Argument(metavar="FILE.csv", help="Columns: provider,resource,start,end,amount,currency.")],
    *,
    rate: Annotated[list[str] | None, typer.Option(help="US dollars for one of another currency, e.g. EUR=1.08.")] = None,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Bills of any provider, from a CSV file: all of its lines, or none."""
    from pipelines.bills import import_bills
    from registry.money.amounts import parse_rates

    found = import_bills(workshop(home).ledger(), path, parse_rates(rate or []))
    told = [one.model_dump(mode="json") for one in found]
    answer(told, as_json=as_json, text=f"{len(found)} new or corrected bills")


@bills.command()
def fetch(
    *,
    days: Annotated[int, typer.Option(help="How many days back.", min=1, max=366)] = 31,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """What RunPod billed for the endpoints that the ledger knows. Hugging Face has no such list: import its CSV."""
    from pipelines.bills import fetch_bills

    shop = workshop(home)
    found = fetch_bills(shop, shop.ledger(), days)
    told = [one.model_dump(mode="json") for one in found]
    answer(told, as_json=as_json, text="\n".join([*map(str, found), f"{len(found)} new or corrected bills"]))


def prices(
    *,
    refresh: Annotated[bool, typer.Option("--refresh", help="Ask RunPod and Hugging Face, where there is a key.")] = False,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """The price catalogue: what an hour costs where, since when, and by what source. Old prices are kept."""
    from pipelines.prices import prices as read_prices
    from pipelines.prices import refresh as refresh_prices
    from registry.errors import UnavailableError
    from registry.money.prices import today

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
    from registry.money.places import Assumed
    from registry.money.traffic import Traffic

    traffic = Traffic(requests_per_day=requests, hours_per_day=hours, days_per_week=days, burst=burst)
    assumed = Assumed(runpod_cold_s=runpod_cold_s, hf_cold_s=hf_cold_s, max_workers=max_workers)
    asked = Asked(traffic=traffic, service_ms=service_ms, longest_wait_s=longest_wait_s, assumed=assumed)
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
    for command in (costs, prices, forecast):
        app.command()(command)
    app.add_typer(budget, name="budget")
    app.add_typer(bills, name="bills")
