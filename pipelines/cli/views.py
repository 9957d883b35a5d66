"""`runs`, `dashboard` and `report`: for whoever looks."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Annotated

import typer

from pipelines.cli.options import HomeFolder, read_home
from pipelines.cli.output import AsJson, answer, bar, say, table
from pipelines.cli.services import DashboardPort


def runs(
    *,
    where: Annotated[str, typer.Option(help="As in: test_top1 > 0.9 and status = FINISHED.")] = "",
    sort: Annotated[
        str | None, typer.Option(help="A metric or parameter, descending; -NAME: ascending.  [default: newest first]")
    ] = None,
    most: Annotated[int, typer.Option(help="How many to print.", min=1, max=100_000)] = 20,
    metrics: Annotated[str, typer.Option(help="Which metrics to print.")] = "test_top1,val_top1,cost_usd,train_seconds",
    front: Annotated[str | None, typer.Option(help="COST,QUALITY: only the Pareto-optimal runs.")] = None,
    checks: Annotated[
        bool, typer.Option("--checks", help="Also runs that train nothing: data checks, gates, scores on other data.")
    ] = False,
    whole: Annotated[bool, typer.Option("--whole", help="Ask a server without our app for every run again.")] = False,
    home: HomeFolder = None,
    as_json: AsJson = False,
) -> None:
    """Find runs and compare them, however many there are. What the server held last is shown while it is away."""
    from pipelines.queries.runs import RunQuery, find_runs, pareto_runs, run_lines

    with bar() as progress:
        query = RunQuery(where, sort, checks=checks)
        result = find_runs(read_home(home).settings, query, lambda done, of: progress("runs", done, of), whole=whole)
    rows = pareto_runs(result.rows, front) if front else result.rows
    names = [name.strip() for name in metrics.split(",") if name.strip()]
    if result.missing:
        say(result.missing)
    documents, lines = run_lines(rows[:most], names, result.link)
    answer({"runs": documents, "found": len(rows), "as_of": result.as_of}, as_json=as_json)
    if not as_json:
        table(f"{len(lines)} of {len(rows)} runs", ["id", "run", "experiment", "status", "started", *names], lines)


def dashboard(
    *,
    port: DashboardPort = 8501,
    host: Annotated[str, typer.Option(help="The address to listen at; any but loopback needs a password.")] = "127.0.0.1",
    review: Annotated[bool, typer.Option("--review", help="Let its review page record decisions, under your name.")] = False,
    who: Annotated[str | None, typer.Option("--as", help="Who reviews.  [default: this account]")] = None,
    home: HomeFolder = None,
    as_json: AsJson = False,
) -> None:
    """Run the dashboard alone until Ctrl-C. MODELYARD_DASHBOARD_PASSWORD in the environment is what viewers have to give."""
    from pipelines.identity import whoami
    from pipelines.services.dashboard import dashboard_running
    from registry.errors import InputError

    if who and not review:
        raise InputError("--as", "says who reviews", "give --review as well, or leave it out")
    settings = read_home(home).settings
    reviewer = whoami(settings, who).name if review else ""
    with contextlib.suppress(KeyboardInterrupt), dashboard_running(settings, host, port, say, reviewer) as keeper:
        answer(keeper.addresses, as_json=as_json, text=f"{keeper.addresses['dashboard']}\nCtrl-C stops it")
        keeper.watch()


def report(
    file: Annotated[Path, typer.Argument(help="Ends in .html (prints well), .csv or .json.")],
    *,
    month: Annotated[str | None, typer.Option(help="Write this month's statement of costs instead, e.g. 2026-11.")] = None,
    home: HomeFolder = None,
    as_json: AsJson = False,
) -> None:
    """Write the Overview to a file: what is in production, how good it is, what it costs, what needs attention."""
    from pipelines.services.dashboard import make_report

    summary = make_report(read_home(home).settings, file, month)
    if month is not None:
        text = f"{file}: {len(summary['lines'])} amounts, ${summary['usd']} in {month}"
        answer(summary | {"file": str(file)}, as_json=as_json, text=text)
        return
    models, alerts = len(summary["production"]), len(summary["alerts"])
    answer(summary | {"file": str(file)}, as_json=as_json, text=f"{file}: {models} models in production, {alerts} alerts")


def add_to(app: typer.Typer) -> None:
    """Add this group's commands."""
    app.command()(runs)
    app.command()(dashboard)
    app.command()(report)
