"""`costs`, `bills`, `prices` and `forecast`: what things cost, and what they would."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pipelines.cli.budget import budget
from pipelines.cli.options import HomeFolder, open_home, read_home
from pipelines.cli.output import AsJson, answer, say, table

if TYPE_CHECKING:
    from registry.money.comparison import Forecast
    from registry.money.forecast import PlaceForecast
    from registry.reports.costs import CostSums

bills = typer.Typer(help="What providers billed, into the ledger.", no_args_is_help=True)


class By(StrEnum):
    """How costs are summed."""

    RUN = "run"
    MODEL = "model"
    EXPERIMENT = "experiment"
    PERSON = "person"
    PROVIDER = "provider"
    MONTH = "month"
    ENDPOINT = "endpoint"


def costs(
    *,
    by: Annotated[
        By | None, typer.Option(help="Group by this; includes failed runs and the time that endpoints existed.")
    ] = None,
    month: Annotated[str | None, typer.Option(help="Only this month, as 2026-11, in UTC.")] = None,
    home: HomeFolder = None,
    as_json: AsJson = False,
) -> None:
    """What training and serving cost, from the ledger: by version, or summed up."""
    from pipelines.money.costs import costs as read_costs
    from pipelines.money.costs import summed

    opened = read_home(home)
    entries, settings = opened.ledger().entries(), opened.settings
    if by is not None or month is not None:
        sums = summed(entries, settings, (by or By.MODEL).value, month)
        answer(sums.model_dump(mode="json"), as_json=as_json)
        if not as_json:
            _show_sums(sums)
        return
    report = read_costs(entries, settings)
    answer(report.model_dump(mode="json"), as_json=as_json)
    if not as_json:
        shown = [(line.ref, line.what, line.detail, f"${line.usd}") for line in report.lines]
        table("costs", ["version", "what", "detail", "USD"], shown)
        print(f"training so far ${report.training_usd}; serving ${report.serving_usd_per_month} a month")
        if report.billed_usd:
            print(f"billed so far ${report.billed_usd}; `modelyard costs --by model` sums up everything")
        print(f"price of this machine: ${report.price.usd_per_hour}/h, {report.price.source}")


def _show_sums(sums: CostSums) -> None:
    heads = [sums.by, "training", "failed", "serving", "other", "total", "runs", "promoted", "per promoted"]
    rows = [
        (
            group.key,
            *(f"${usd}" for usd in (group.training_usd, group.failed_usd, group.serving_usd, group.other_usd, group.usd)),
            group.runs,
            group.promoted or "",
            "" if group.per_promoted_usd is None else f"${group.per_promoted_usd}",
        )
        for group in sums.groups
    ]
    table(f"costs{f' in {sums.month}' if sums.month else ''}", heads, rows)
    print(f"total ${sums.usd}, of which ${sums.billed_usd} is billed")


@bills.command(name="import")
def import_(
    path: Annotated[Path, typer.Argument(metavar="FILE.csv", help="Columns: provider,resource,start,end,amount,currency.")],
    *,
    rate: Annotated[list[str] | None, typer.Option(help="US dollars for one of another currency, e.g. EUR=1.08.")] = None,
    replace: Annotated[
        bool, typer.Option("--replace", help="Let these count where they overlap bills recorded before.")
    ] = False,
    home: HomeFolder = None,
    as_json: AsJson = False,
) -> None:
    """Bills of any provider, from a CSV file: all of its lines, or none."""
    from pipelines.money.bills import import_bills
    from registry.amounts import parse_rates

    imported = import_bills(open_home(home).ledger(), path, parse_rates(rate or []), say, replace=replace)
    documents = [bill.model_dump(mode="json") for bill in imported]
    answer(documents, as_json=as_json, text=f"{len(imported)} new or corrected bills")


@bills.command()
def fetch(
    *,
    days: Annotated[int, typer.Option(help="How many days back.", min=1, max=366)] = 31,
    home: HomeFolder = None,
    as_json: AsJson = False,
) -> None:
    """What RunPod billed for the endpoints that the ledger knows. Hugging Face has no such list: import its CSV."""
    from pipelines.money.bills import fetch_bills

    opened = open_home(home)
    fetched = fetch_bills(opened.settings, opened.ledger(), days, say)
    text = "\n".join([*map(str, fetched), f"{len(fetched)} new or corrected bills"])
    answer([bill.model_dump(mode="json") for bill in fetched], as_json=as_json, text=text)


def prices(
    *,
    refresh: Annotated[bool, typer.Option("--refresh", help="Ask RunPod and Hugging Face, where there is a key.")] = False,
    home: HomeFolder = None,
    as_json: AsJson = False,
) -> None:
    """The price catalogue: what an hour costs where, since when, and by what source. Old prices are kept."""
    from pipelines.money.prices import prices as read_prices
    from pipelines.money.prices import refresh as refresh_prices
    from registry.errors import UnavailableError
    from registry.money.prices import today

    settings = (open_home(home) if refresh else read_home(home)).settings
    done = refresh_prices(settings) if refresh else None
    for line in [*done.said, *done.failed] if done else []:
        say(line)
    known = read_prices(settings)
    answer(known.model_dump(mode="json"), as_json=as_json)
    if not as_json:
        rows = [
            (
                *listed.price.key,
                f"${listed.price.usd_per_hour.normalize():f}",
                listed.price.as_of,
                _age(listed.age(today())),
            )
            for listed in known.current()
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
    requests: Annotated[float, typer.Option(help="Requests per day.", min=0, max=1e9)] = 1000,
    hours: Annotated[float, typer.Option(help="Hours per day in which requests come.", min=0.01, max=24)] = 24,
    days: Annotated[float, typer.Option(help="Days per week on which requests come.", min=0.1, max=7)] = 7,
    burst: Annotated[
        float, typer.Option(help="Concurrency: requests that come at the same moment, on average.", min=1, max=10_000)
    ] = 1,
    service_ms: Annotated[float | None, typer.Option(help="Latency of one prediction, in milliseconds.", min=0.001)] = None,
    runpod_cold_s: Annotated[
        float | None, typer.Option(help="Cold start of a RunPod worker, in seconds; else as measured, or 8.", min=0, max=86_400)
    ] = None,
    hf_cold_s: Annotated[
        float | None,
        typer.Option(
            help="Cold start of a sleeping Hugging Face endpoint, in seconds; else as measured, or 120.", min=0, max=86_400
        ),
    ] = None,
    longest_wait_s: Annotated[
        float | None, typer.Option(help="p95 latency limit, in seconds: places above it are marked.", min=0)
    ] = None,
    max_workers: Annotated[
        int | None,
        typer.Option(help="Maximum number of workers, where they scale; else the job's, or the target's.", min=1, max=1000),
    ] = None,
    volume_gb: Annotated[float, typer.Option(help="Gigabytes of a RunPod network volume, kept all month.", min=0, max=1e6)] = 0,
    job_file: Annotated[
        Path | None, typer.Option("--job", "-j", help="Compare this job's `deploy` too.  [default: the version's policy]")
    ] = None,
    home: HomeFolder = None,
    as_json: AsJson = False,
) -> None:
    """What a month of this traffic would cost at each place, which is the cheapest, and when that changes."""
    from pipelines.money.forecast import CostForecast, ForecastRequest, Overrides
    from registry.money.traffic import Traffic

    traffic = Traffic(requests_per_day=requests, hours_per_day=hours, days_per_week=days, burst=burst)
    overrides = Overrides(runpod_cold_s=runpod_cold_s, hf_cold_s=hf_cold_s, max_workers=max_workers, volume_gb=volume_gb)
    request = ForecastRequest(traffic=traffic, service_ms=service_ms, longest_wait_s=longest_wait_s, told=overrides)
    opened, deploy = read_home(home), _deploy_of(job_file)
    result = CostForecast(opened.settings, opened.ledger, opened.store).forecast(request, ref, deploy)
    answer(result.model_dump(mode="json"), as_json=as_json)
    if not as_json:
        _show_forecast(result)


def _deploy_of(job_file: Path | None) -> dict[str, Any] | None:
    """How the named job serves its stages; None: no job is named."""
    if job_file is None:
        return None
    from pipelines.cli.options import job

    return dict(job(job_file).deploy.model_dump(mode="json"))


def _show_forecast(forecast: Forecast) -> None:
    rows = [
        (
            cost.place.name,
            _range(cost),
            f"${cost.storage_usd}",
            "" if cost.usd_per_thousand is None else f"${cost.usd_per_thousand.normalize():f}",
            f"{cost.cold_share:.1%}",
            f"{cost.wait_p95_s:.3g} s",
            cost.problem,
        )
        for cost in forecast.places
    ]
    print(forecast.advice)
    table("a month", ["place", "USD a month", "of which storage", "USD per 1,000", "cold starts", "p95 wait", "problem"], rows)
    print(forecast.browser)
    table(
        "assumptions", ["place", "assumptions"], [(cost.place.name, "\n".join(cost.place.assumed)) for cost in forecast.places]
    )
    for line in forecast.assumed:
        print(line)
    for line in forecast.stale:
        say(f"stale price: {line}; run `modelyard prices --refresh`")


def _range(cost: PlaceForecast) -> str:
    """A month's dollars; from and to, where it is disputed whether starts are billed."""
    least = cost.usd_per_month_least
    return f"${cost.usd_per_month}" if least is None or least == cost.usd_per_month else f"${least} to ${cost.usd_per_month}"


def add_to(app: typer.Typer) -> None:
    """Add this group's commands."""
    for command in (costs, prices, forecast):
        app.command()(command)
    app.add_typer(budget, name="budget")
    app.add_typer(bills, name="bills")
