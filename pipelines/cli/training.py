"""`train`, `evaluate` and `export`: from a data set to a bundle."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipelines.cli.options import (
    JOB,
    DataFolder,
    HomeFolder,
    JobFile,
    Policy,
    chosen_job,
    datasets_of,
    job,
    open_home,
    read_home,
)
from pipelines.cli.output import AsJson, answer, bar, say, table

if TYPE_CHECKING:
    from pipelines.training.register import NamedModel
    from registry.records import ParityFigures

Reference = Annotated[str, typer.Argument(metavar="REF", help="NAME/VERSION or NAME@ALIAS.")]


def train(
    *,
    trainers: Annotated[str | None, typer.Option(help="Which of the job's trainers, such as yolo,torch,keras.")] = None,
    resume: Annotated[
        str | None, typer.Option(metavar="RUN", help="Go on with a run that was broken off: its id, or the beginning of it.")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Train nothing: show the plan, and what it would take and cost at each place.")
    ] = False,
    data: DataFolder = None,
    job_file: JobFile = JOB,
    home: HomeFolder = None,
    as_json: AsJson = False,
) -> None:
    """Train each of the job's trainers, log each run to MLflow with its cost, and register the models."""
    from pipelines.training.job import TrainingJob
    from pipelines.training.trainers.build import choose_trainers
    from registry.errors import InputError

    if dry_run:
        from pipelines.cli.quoting import show_dry_run

        if resume is not None:
            raise InputError("--dry-run", "a run that is resumed is not quoted", "leave --resume out")
        show_dry_run(job(job_file), trainers, data, read_home(home), as_json=as_json)
        return
    the_job, opened = job(job_file), open_home(home)
    if resume is not None:
        if trainers is not None:
            raise InputError("--trainers", "a run is resumed with the trainer that it began with", "leave it out with --resume")
        datasets = datasets_of(opened)
        work = TrainingJob(opened.settings, opened.ledger(), opened.store, opened.tracker, datasets, say)
        with bar() as progress:
            resumed = work.resume(the_job, resume, datasets.resolve(data) if data else None, progress)
        answer([resumed.model_dump(mode="json")], as_json=as_json, text=str(resumed))
        return
    configs, datasets = choose_trainers(the_job, trainers), datasets_of(opened)
    dataset = datasets.resolve(data or datasets.folder_of(the_job.model))
    training = TrainingJob(opened.settings, opened.ledger(), opened.store, opened.tracker, datasets, say)
    with bar() as progress:
        done = training.run(the_job, configs, dataset, progress)
    answer([event.model_dump(mode="json") for event in done.events], as_json=as_json)
    if not as_json:
        for event in done.events:
            print(event)
    if done.failures:  # each was said when it came
        raise typer.Exit(done.failures[0].exit_code)


def register(
    model: Annotated[
        str,
        typer.Argument(
            help="A .onnx, .pt2 (torch.export) or .keras file, a folder of Hugging Face's or MLflow's layout, runs:/RUN/model, "
            "models:/NAME/VERSION, a .zip from the page of `web`, or a .pt of Ultralytics, which is a pickle: only bring one "
            "you trust."
        ),
    ],
    *,
    name: Annotated[str | None, typer.Option(help="The model.  [default: the job file's]")] = None,
    data: DataFolder = None,
    imgsz: Annotated[int | None, typer.Option(help="The input's side.  [default: what the file says]")] = None,
    labels: Annotated[str | None, typer.Option(help="The classes in the order of the outputs, such as cup,box.")] = None,
    normalise: Annotated[
        str | None,
        typer.Option(help="imagenet, 0..1, -1..1 or 0..255.  [default: what the file says, else what fits val best]"),
    ] = None,
    mean: Annotated[str | None, typer.Option(help="Instead: one number or three, of pixels in 0..1.")] = None,
    std: Annotated[str | None, typer.Option(help="Instead: one number or three, of pixels in 0..1.")] = None,
    layout: Annotated[str | None, typer.Option(help="nchw or nhwc, where the file does not say it.")] = None,
    outputs: Annotated[str | None, typer.Option(help="logits or probabilities.  [default: as they sum up]")] = None,
    resize: Annotated[
        str | None, typer.Option(help="shortest (then the centre) or both (squeezed), where the file does not say it.")
    ] = None,
    job_file: JobFile = JOB,
    home: HomeFolder = None,
    as_json: AsJson = False,
) -> None:
    """Register a classifier or a detector that was trained elsewhere, so that it can be exported and measured."""
    from pipelines.training.foreign.options import read_options
    from pipelines.training.register import Registration, World

    stated = {"labels": labels, "normalise": normalise, "mean": mean, "std": std, "layout": layout}
    options = read_options(stated | {"outputs": outputs, "resize": resize}, imgsz)
    purpose, opened = _purpose(job_file, name), open_home(home)
    datasets = datasets_of(opened)
    dataset = datasets.resolve(data or datasets.folder_of(purpose.model))
    world = World.of(opened.settings)
    registration = Registration(opened.store, opened.tracker, opened.mlflow_uri, datasets, world, say, opened.ledger)
    version = registration.register(purpose, model, dataset, options)
    text = f"{version.ref} is registered; now `modelyard export {version.ref}`"
    answer({"model": version.model, "version": version.version}, as_json=as_json, text=text)


def _purpose(job_file: Path, name: str | None) -> NamedModel:
    """What to register for. Without a job file a name is enough: it is a classifier's."""
    from pipelines.training.register import NamedModel
    from registry.refs import check_model_name

    if name is not None:
        check_model_name(name)
        if job_file == JOB and not JOB.exists():
            return NamedModel(name)
    the_job = job(job_file)
    return NamedModel(name or the_job.model, the_job.task)


def evaluate(
    ref: Reference,
    *,
    data: Annotated[
        Path | None, typer.Option(help="Another data set than the version's own: a folder, MODEL@VERSION or a digest.")
    ] = None,
    split: Annotated[str, typer.Option(help="Which split to score on.")] = "test",
    home: HomeFolder = None,
    as_json: AsJson = False,
) -> None:
    """Score a version on held-out images: with an interval, per class, on worse pictures, and how sure it may be; or by mAP."""
    from pipelines.cli.evaluation import show_evaluation
    from pipelines.promotion.assemble import assemble
    from registry.refs import parse_ref

    parsed, opened = parse_ref(ref), open_home(home)
    dataset = datasets_of(opened).resolve(data) if data else None
    event = assemble(opened, say).evaluator.evaluate(parsed, dataset, split)
    answer(event.model_dump(mode="json"), as_json=as_json)
    if not as_json:
        show_evaluation(event, split)


def export(
    ref: Reference,
    *,
    to: Annotated[Path | None, typer.Option(help="Also copy the bundle here.")] = None,
    variant: Annotated[
        list[str] | None,
        typer.Option(help="A variant beyond the job's, such as onnx-int8 or litert (all three); may be repeated. It stays."),
    ] = None,
    job_file: Policy = None,
    home: HomeFolder = None,
    as_json: AsJson = False,
) -> None:
    """Export a version as a sealed bundle of ONNX, TF.js and more, with parity and latency measured."""
    from pipelines.job.exports import variants_named
    from pipelines.promotion.assemble import assemble
    from pipelines.promotion.follow import export_by_policy
    from registry.errors import InputError
    from registry.measured import conditions_in_words
    from registry.refs import parse_ref

    parsed = parse_ref(ref)
    choice = chosen_job(parsed.model, job_file)
    names = [each for name in variant or () for each in variants_named(name)]
    if to and to.exists():
        raise InputError(to, "exists already", "name a folder that is not there yet")
    event = export_by_policy(assemble(open_home(home), say), parsed, choice, names)
    if to:
        from pipelines.bundles.export import copy_bundle

        copy_bundle(event, to)
    answer(event.model_dump(mode="json"), as_json=as_json)
    if not as_json:
        print(event)
        _parity_table(event.parity)
        if event.latency:
            conditions = conditions_in_words(event.latency)
            figures = f"p50 {event.latency.p50_ms:.1f} ms, p95 {event.latency.p95_ms:.1f} ms"
            print(f"latency: {figures}{f' ({conditions})' if conditions else ''}")
        print(f"bundle: {to or event.path}")


def parity(
    ref: Reference,
    *,
    report: Annotated[Path | None, typer.Option(help="Also write the table, the figures and a scatter plot here.")] = None,
    home: HomeFolder = None,
    as_json: AsJson = False,
) -> None:
    """Measure again how far each variant of a version's bundle is from the trained model; 1 where one is too far."""
    from pipelines.bundles.parity import write_report
    from pipelines.promotion.assemble import assemble
    from registry.errors import InputError, RefusedError
    from registry.refs import parse_ref

    parsed = parse_ref(ref)
    if report and report.exists():
        raise InputError(report, "exists already", "name a folder that is not there yet")
    figures, measured = assemble(open_home(home), say).exporter.measure_again(parsed)
    if report:
        write_report(report, figures, measured)
    documents = [row.model_dump(mode="json") | {"ms": measured.ms.get(row.variant)} for row in figures]
    answer(documents, as_json=as_json)
    if not as_json:
        _parity_table(figures, measured.ms)
    if failing := [row for row in figures if not row.kept]:
        raise RefusedError(failing[0].variant, failing[0].note, f"run `modelyard export {ref}` and see what changed")


def _parity_table(figures: Sequence[ParityFigures], ms: Mapping[str, float] | None = None) -> None:
    """The figures for people; mAP of detectors, and milliseconds where they were taken one variant at a time."""
    columns: dict[str, list[str]] = {
        "variant": [row.variant for row in figures],
        "images": [str(row.images) for row in figures],
        "agreement": [f"{row.top1_agreement:.3f}" for row in figures],
        "max diff": [f"{row.max_abs_diff:.1e}" for row in figures],
        "wrong image": [f"{row.control_agreement:.3f}" for row in figures],
    }
    if any(row.map_difference is not None for row in figures):
        columns["mAP diff"] = [f"{row.map_difference or 0:.1e}" for row in figures]
    if ms:
        columns["ms"] = [f"{ms[row.variant]:.1f}" if row.variant in ms else "" for row in figures]
    columns["bundle"] = ["kept" if row.kept else f"left out: {row.note}" for row in figures]
    table("parity, from image bytes", list(columns), list(zip(*columns.values(), strict=True)))


def add_to(app: typer.Typer) -> None:
    """Add this group's commands."""
    app.command()(train)
    app.command()(register)
    app.command()(evaluate)
    app.command()(export)
    app.command()(parity)
