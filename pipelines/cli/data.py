"""`frames` and `check`: from clips to a data set that may be trained on."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipelines.cli.options import JOB, Home, JobFile, job, workshop
from pipelines.cli.output import AsJson, answer, bar, table

if TYPE_CHECKING:
    from pipelines.data.dataset import DataSet
    from validation.data.suite import DataReport

DataFolder = Annotated[Path | None, typer.Option("--data", help="The data set.  [default: HOME/datasets/MODEL]")]


def frames(
    *,
    clips: Annotated[Path | None, typer.Option(help="A folder of <class>/*.mp4, instead of the job file's.")] = None,
    images: Annotated[Path | None, typer.Option(help="A folder of <class>/*.jpg, instead of clips.")] = None,
    group: Annotated[str | None, typer.Option(help="Regular expression: which images belong together.")] = None,
    fps: Annotated[float | None, typer.Option(help="Frames kept from each second.", min=0.01, max=120)] = None,
    out: Annotated[Path | None, typer.Option(help="Where to.  [default: HOME/datasets/MODEL]")] = None,
    job_file: JobFile = JOB,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Turn clips (or images) into a data set, split by clip, with a manifest."""
    from pipelines.data.dataset import build_dataset
    from pipelines.data.sources import check_source
    from pipelines.home import dataset_folder

    check_source(clips, images, group)
    told = job(job_file)
    given = {"clips": clips, "images": images, "group": group, "fps": fps}
    wanted = {key: value for key, value in given.items() if value is not None}
    if clips and not images:
        wanted["images"] = None
    data = told.data.model_copy(update=wanted)
    folder = out or dataset_folder(workshop(home).settings, told)
    with bar() as progress:
        made = build_dataset(data, folder, progress, classes=2 if told.task == "classify" else 1)
    _show(made, as_json=as_json)


def check(*, data: DataFolder = None, job_file: JobFile = JOB, home: Home = None, as_json: AsJson = False) -> None:
    """Hold the data set to Great Expectations; exit 1 where a strict check fails."""
    from pipelines.data.checks import check as check_data
    from pipelines.data.dataset import open_dataset
    from pipelines.home import dataset_folder

    told, shop = job(job_file), workshop(home)
    found = open_dataset(data or dataset_folder(shop.settings, told))
    report = check_data(found, shop.settings.home / "reports" / told.model)
    show_report(report, as_json=as_json)
    if told.data.checks == "strict" and not report.holds:
        raise typer.Exit(1)


def show_report(report: DataReport, *, as_json: bool) -> None:
    """The data checks' verdict."""
    told = {
        "holds": report.holds,
        "errors": [finding.text for finding in report.errors],
        "warnings": [finding.text for finding in report.warnings],
        "passed": len(report.passed),
        "docs": str(report.docs / "index.html"),
    }
    answer(told, as_json=as_json)
    if not as_json:
        marks = [("✗", one) for one in report.errors] + [("!", one) for one in report.warnings]
        marks += [("✓", one) for one in report.passed]
        table("data checks", ["", "expectation"], [(mark, finding.text) for mark, finding in marks])
        print(f"report: {report.docs / 'index.html'}")


def _show(data: DataSet, *, as_json: bool) -> None:
    """What a data set holds."""
    from pipelines.data.dataset import SPLITS

    manifest = data.manifest
    counts = {split: len(data.rows(split)) for split in SPLITS}
    clips = {split: len({row.clip for row in data.rows(split)}) for split in SPLITS}
    told = {"data": str(data.folder), "digest": manifest.digest, "labels": manifest.labels, "frames": counts, "clips": clips}
    answer(told, as_json=as_json)
    if not as_json:
        rows = [(split, clips[split], counts[split]) for split in SPLITS]
        table(f"{data.folder} ({len(manifest.labels)} classes)", ["split", "clips", "frames"], rows)
        print(f"manifest: {data.folder / 'manifest.json'} (digest {manifest.digest[:12]})")


def add_to(app: typer.Typer) -> None:
    """Add this group's commands."""
    app.command()(frames)
    app.command()(check)
