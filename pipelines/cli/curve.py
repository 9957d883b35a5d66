"""`curve`: what more clips would be worth."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipelines.cli.options import JOB, DataFolder, HomeFolder, JobFile, chosen_dataset, datasets_of, job, open_home
from pipelines.cli.output import AsJson, answer, bar, say, table

if TYPE_CHECKING:
    from pipelines.data.catalog import DatasetCatalog
    from pipelines.data.dataset import DataSet
    from pipelines.training.curve.report import ClassCurve, Curves


def curve(
    *,
    data: DataFolder = None,
    label: Annotated[
        list[str] | None,
        typer.Option("--class", metavar="LABEL", help="Only this class; may be repeated.  [default: the ten that do worst]"),
    ] = None,
    more: Annotated[int, typer.Option(help="How many clips more to predict for.", min=1, max=10_000)] = 10,
    plot: Annotated[Path | None, typer.Option(metavar="FILE.png", help="Also draw the curves.")] = None,
    job_file: JobFile = JOB,
    home: HomeFolder = None,
    as_json: AsJson = False,
) -> None:
    """Measure accuracy against clips to learn from, and predict what more clips are worth, by class; test is not touched.

    Takes minutes: heads on frozen features, no training. What it predicts is part of the advice where a gate refuses.
    """
    from registry.errors import InputError, ModelyardError

    if plot is not None and plot.suffix.lower() not in {".png", ".svg", ".pdf"}:
        raise InputError(plot, "is not a picture's name", "give --plot a name that ends in .png, .svg or .pdf")
    the_job = None if job_file == JOB and not JOB.exists() else job(job_file)
    opened = open_home(home)
    dataset = chosen_dataset(opened, data, job_file)
    from pipelines.identity import whoami
    from pipelines.training.curve.command import CurveMeasurement
    from pipelines.training.curve.curve import Asked
    from pipelines.training.trainers.cache import ArrayCache

    actor = whoami(opened.settings)
    work = CurveMeasurement(ArrayCache(opened.settings.cache), opened.ledger, say)
    with bar() as progress:
        curves = work.measure(dataset, the_job, Asked(more, label or ()), progress)
    model = the_job.model if the_job else _owner(datasets_of(opened), dataset)
    event, failure = None, None
    try:
        event = work.record(curves, model, actor)
    except ModelyardError as error:  # minutes of measuring are shown all the same
        failure = error
    if plot is not None:
        from pipelines.training.curve.figure import curves_figure

        plot.parent.mkdir(parents=True, exist_ok=True)
        curves_figure(curves).savefig(plot, dpi=120)
    document = curves.model_dump(mode="json") | {"recorded": event is not None, "plot": str(plot) if plot else None}
    document |= {"error": str(failure)} if failure else {}
    for part, shown in ((document["overall"], curves.overall), *zip(document["classes"], curves.classes, strict=True)):
        part["text"] = str(shown)
    answer(document, as_json=as_json)
    if not as_json:
        _show(curves)
        if event is None and failure is None:
            say("not recorded: nothing could be measured" if model else "not recorded: nobody knows whose data set this is")
    if failure:  # machines have it in their answer
        raise typer.Exit(2) if as_json else failure


def _owner(datasets: DatasetCatalog, dataset: DataSet) -> str:
    """The model whose data set it is; empty where nobody says so, or several."""
    owners = datasets.models_of(dataset.manifest.digest)
    return datasets.model_at(dataset.folder) or (owners[0] if len(owners) == 1 else "")


def _show(curves: Curves) -> None:
    """The points, and a sentence each."""
    parts = [curves.overall, *curves.classes]
    rows = [(part.label or "all classes", f"{part.clips:g}", part.scored or "", _points(part)) for part in parts]
    table("accuracy by clips to learn from (90 %)", ["class", "clips in train", "clips scored", "clips: accuracy"], rows)
    for part in parts:
        print(part)


def _points(part: ClassCurve) -> str:
    return "  ".join(f"{point.clips:g}: {point.accuracy:.2f} ({point.low:.2f}-{point.high:.2f})" for point in part.points)


def add_to(app: typer.Typer) -> None:
    """Add this group's command."""
    app.command()(curve)
