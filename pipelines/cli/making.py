"""`train`, `evaluate` and `export`: from a data set to a bundle."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pipelines.cli.context import JOB, Home, JobFile, job, workshop
from pipelines.cli.data import DataFolder
from pipelines.cli.output import AsJson, answer, bar, say, table

Reference = Annotated[str, typer.Argument(metavar="REF", help="NAME/VERSION or NAME@ALIAS.")]


def train(
    *,
    trainers: Annotated[str | None, typer.Option(help="Which of the job's trainers, such as yolo,torch,keras.")] = None,
    data: DataFolder = None,
    job_file: JobFile = JOB,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Train each of the job's trainers, log each run to MLflow with its cost, and register the models."""
    from pipelines.dataset import open_dataset
    from pipelines.steps import train_all
    from pipelines.wiring import chosen, dataset_folder

    told, shop = job(job_file), workshop(home)
    configs = chosen(told, trainers)
    found = open_dataset(data or dataset_folder(shop.settings, told))
    with bar() as progress:
        events = train_all(shop, told, configs, found, progress, say)
    answer([event.model_dump(mode="json") for event in events], as_json=as_json)
    if not as_json:
        for event in events:
            print(event)


def evaluate(
    ref: Reference,
    *,
    data: Annotated[Path | None, typer.Option(help="Another data set than the version's own.")] = None,
    split: Annotated[str, typer.Option(help="Which split to score on.")] = "test",
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Score a version on held-out images, with an interval and a table per class."""
    from pipelines.dataset import open_dataset
    from pipelines.evaluate import evaluate as evaluate_version
    from registry.refs import parse_ref

    shop, parsed = workshop(home), parse_ref(ref)
    found = open_dataset(data) if data else None
    event = evaluate_version(shop, parsed, found, split)
    answer(event.model_dump(mode="json"), as_json=as_json)
    if not as_json:
        print(event)
        rows = [(c.label, f"{c.precision:.3f}", f"{c.recall:.3f}", f"{c.f1:.3f}", c.support) for c in event.evaluation.classes]
        table(f"{event.label} on {split}", ["class", "precision", "recall", "F1", "images"], rows)


def export(
    ref: Reference,
    *,
    to: Annotated[Path | None, typer.Option(help="Also copy the bundle here.")] = None,
    job_file: JobFile = JOB,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Export a version to ONNX and TF.js as a sealed bundle, with parity and latency measured."""
    from pipelines.export import export as export_version
    from pipelines.steps import copy_bundle
    from registry.errors import InputError
    from registry.refs import parse_ref

    told, shop, parsed = job(job_file), workshop(home), parse_ref(ref)
    if to and to.exists():
        raise InputError(to, "is there already", "name a folder that is not there yet")
    yard = shop.bare_yard()
    with yard.leases.hold(parsed.model):
        event = export_version(shop, yard, told, parsed, say)
    if to:
        copy_bundle(event, to)
    answer(event.model_dump(mode="json"), as_json=as_json)
    if not as_json:
        print(event)
        rows = [
            (p.variant, p.images, f"{p.top1_agreement:.3f}", f"{p.max_abs_diff:.2e}", f"{p.control_agreement:.3f}")
            for p in event.parity
        ]
        table("parity, from image bytes", ["variant", "images", "top-1 agreement", "max diff", "wrong image"], rows)
        print(f"latency: p50 {event.latency.p50_ms:.1f} ms, p95 {event.latency.p95_ms:.1f} ms")
        print(f"bundle: {to or event.path}")


def add_to(app: typer.Typer) -> None:
    """Add this group's commands."""
    app.command()(train)
    app.command()(evaluate)
    app.command()(export)
