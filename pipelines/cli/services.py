"""`up`, `collect`, `serve` and `demo`: what runs for a while."""

from __future__ import annotations

import contextlib
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipelines.cli.options import HOST_HELP, HomeFolder, NoKey, open_home, read_home
from pipelines.cli.output import AsJson, answer, bar, say, table
from pipelines.cli.quick_serve import DEVICES, LOG_LEVELS

if TYPE_CHECKING:
    from pipelines.demo.run import Summary

MlflowPort = Annotated[int, typer.Option(help="0 for any free one.", min=0, max=65535)]
DashboardPort = Annotated[int, typer.Option(help="0 for any free one.", min=0, max=65535)]


def up(
    *,
    home: HomeFolder = None,
    mlflow_port: MlflowPort = 5000,
    dashboard_port: DashboardPort = 8501,
    no_dashboard: Annotated[bool, typer.Option("--no-dashboard", help="Leave the dashboard out.")] = False,
    as_json: AsJson = False,
) -> None:
    """Run the MLflow server, the reconciler, the collector and the dashboard until Ctrl-C."""
    from pipelines.services.keys import missing_keys
    from pipelines.services.up import Ports, running

    opened, ports = open_home(home), Ports(mlflow_port, None if no_dashboard else dashboard_port)
    with contextlib.suppress(KeyboardInterrupt), running(opened.settings, ports, say) as keeper:
        lines = [f"{name:<10} {url}" for name, url in keeper.addresses.items()]
        answer(keeper.addresses, as_json=as_json, text="\n".join([*lines, "Ctrl-C stops everything"]))
        for line in missing_keys(opened):
            say(line)
        keeper.watch()


def collect(
    *,
    every: Annotated[float, typer.Option(help="Seconds between looks.", min=1, max=3600)] = 15,
    once: Annotated[bool, typer.Option("--once", help="Look once, and exit.")] = False,
    home: HomeFolder = None,
    as_json: AsJson = False,
) -> None:
    """Record what endpoints on this machine count: requests, errors, latency, scores, restarts. `up` does so too."""
    from pipelines.services.collector import Collector

    report = (lambda line: answer({"line": line}, as_json=True)) if as_json and not once else say
    collector = Collector(read_home(home).settings, every, report)
    if not once:
        with contextlib.suppress(KeyboardInterrupt):
            collector.keep_on()
        return
    readings = collector.once()
    shown = ("endpoint", "served", "url", "state", "requests", "errors", "refused")
    document = [{name: getattr(reading, name) for name in shown} for reading in readings]
    lines = [f"{reading.endpoint} is {reading.state}" for reading in readings]
    answer(document, as_json=as_json, text="\n".join(lines) or "no endpoint runs on this machine")


def serve(
    bundle_or_ref: Annotated[
        str, typer.Argument(metavar="BUNDLE_OR_REF", help="A bundle's folder, NAME/VERSION or NAME@production.")
    ],
    *,
    port: Annotated[int, typer.Option(help="0 for any free one.", min=0, max=65535)] = 8080,
    host: Annotated[str, typer.Option(help=HOST_HELP)] = "127.0.0.1",
    no_key: NoKey = False,
    workers: Annotated[int, typer.Option(help="Processes that predict; 0 for one a core.", min=0, max=256)] = 0,
    device: Annotated[str, typer.Option(help="cpu or cuda.")] = "cpu",
    max_batch: Annotated[int, typer.Option(help="Pictures that are answered together, at most.", min=1, max=1024)] = 8,
    max_wait_ms: Annotated[float, typer.Option(help="How long a batch waits for more pictures.", min=0, max=1000)] = 0,
    queue: Annotated[int, typer.Option(help="Pictures that may wait; more are refused with 429.", min=1)] = 64,
    fetch: Annotated[bool, typer.Option("--fetch", help="Accept https addresses of pictures on public hosts.")] = False,
    keys: Annotated[Path | None, typer.Option(help="A folder of *.pub: one of them has to have signed the bundle.")] = None,
    log_level: Annotated[str, typer.Option(help="debug, info, warning or error.")] = "info",
    home: HomeFolder = None,
    as_json: AsJson = False,
) -> None:
    """Serve a bundle over HTTP until Ctrl-C. MODELYARD_API_KEY in the environment is the key that clients have to show."""
    from pipelines.services.serve import bundle_folder
    from pipelines.services.serve import serve as become_server
    from registry.errors import InputError

    for name, value, known in (("--device", device, DEVICES), ("--log-level", log_level, LOG_LEVELS)):
        if value not in known:
            raise InputError(name, f"'{value}' is not one of {', '.join(known)}", "choose one of them")
    options = {"port": port, "host": host, "workers": workers, "device": device, "max_batch": max_batch}
    options |= {"max_wait_ms": max_wait_ms, "queue": queue, "fetch": fetch, "keys": keys, "log_level": log_level}
    become_server(bundle_folder(partial(read_home, home), bundle_or_ref), options | {"no_key": no_key, "json": as_json})


def demo(
    *,
    clips: Annotated[Path | None, typer.Option(help="Your own clips: DIR/<class>/*.mp4.")] = None,
    images: Annotated[Path | None, typer.Option(help="Your own images: DIR/<class>/*.jpg.")] = None,
    group: Annotated[str | None, typer.Option(help="Regular expression: which images belong together.")] = None,
    trainers: Annotated[str, typer.Option(help="Which trainers: yolo, torch, keras.")] = "yolo,torch",
    epochs: Annotated[int | None, typer.Option(help="Epochs of each trainer.", min=1, max=1000)] = None,
    imgsz: Annotated[int, typer.Option(help="The input's side, in pixels.", min=32, max=1024)] = 64,
    home: HomeFolder = None,
    mlflow_port: MlflowPort = 0,
    dashboard_port: DashboardPort = 0,
    stay: Annotated[
        bool | None, typer.Option("--stay/--exit", help="Keep serving at the end.  [default: on a terminal]")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """From clips to a deployed, priced model, once: frames, checks, training, gates, export, deployment, prediction, costs."""
    from pipelines.demo.run import DemoOptions, run_demo
    from pipelines.services.up import Ports, running

    options = DemoOptions(clips=clips, images=images, group=group, trainers=trainers, epochs=epochs, imgsz=imgsz)
    opened = open_home(home)
    options.check(opened.settings.tf_python)
    with running(opened.settings, Ports(mlflow_port, dashboard_port), say) as keeper:
        with bar() as progress:
            summary = run_demo(opened, options, progress, say)
        answer(summary.model_dump(mode="json") | keeper.addresses, as_json=as_json)
        if not as_json:
            _show_summary(summary, keeper.addresses)
        if sys.stdin.isatty() if stay is None else stay:
            say("everything keeps running; Ctrl-C stops it")
            with contextlib.suppress(KeyboardInterrupt):
                keeper.watch()
        elif not as_json:
            say(f"to see it all again: modelyard up --home {opened.settings.home}")
    if summary.endpoint is None:
        raise typer.Exit(1)


def _show_summary(summary: Summary, addresses: dict[str, str]) -> None:
    """The demo's figures for people."""
    rows = [
        (
            v.ref,
            v.trainer,
            f"{v.seconds:.0f} s",
            f"${v.usd}",
            f"{v.top1:.3f} ({v.interval[0]:.3f} to {v.interval[1]:.3f})",
            v.outcome,
        )
        for v in summary.tries
    ]
    table(f"demo: {summary.data}", ["version", "trainer", "training", "cost", "test top-1 (95 % by clip)", "outcome"], rows)
    facts = [("parity", line) for line in summary.parity]
    if summary.latency_p95_ms is not None:
        facts.append(("latency", f"p95 {summary.latency_p95_ms:.1f} ms from image bytes to answer"))
    facts += [("predictions", ", ".join(summary.predictions)), ("took", f"{summary.seconds:.0f} s")]
    facts += [("endpoint", f"{summary.endpoint}/predict")] if summary.endpoint else []
    table("", ["", ""], facts + list(addresses.items()))


def add_to(app: typer.Typer) -> None:
    """Add this group's commands."""
    app.command()(up)
    app.command()(collect)
    app.command()(serve)
    app.command()(demo)
