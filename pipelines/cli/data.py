"""`frames` and `check`: from clips to a data set that may be trained on."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipelines.cli.options import JOB, HomeFolder, JobFile, datasets_of, job, open_home
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
    home: HomeFolder = None,
    as_json: AsJson = False,
) -> None:
    """Turn clips (or images) into a data set, split by clip, with a manifest."""
    from pipelines.data.dataset import build_dataset
    from pipelines.data.sources import check_source

    check_source(clips, images, group)
    the_job = job(job_file)
    given = {"clips": clips, "images": images, "group": group, "fps": fps}
    changes = {key: value for key, value in given.items() if value is not None}
    if clips and not images:
        changes["images"] = None
    data = the_job.data.model_copy(update=changes)
    folder = out or datasets_of(open_home(home)).folder_of(the_job.model)
    with bar() as progress:
        made = build_dataset(data, folder, progress, classes=2 if the_job.task == "classify" else 1)
    _show(made, as_json=as_json)


def check(*, data: DataFolder = None, job_file: JobFile = JOB, home: HomeFolder = None, as_json: AsJson = False) -> None:
    """Check the data set with Great Expectations; exit 1 where a strict check fails."""
    from pipelines.data.checks import check as check_data
    from pipelines.data.dataset import open_dataset

    the_job, opened = job(job_file), open_home(home)
    dataset = open_dataset(data or datasets_of(opened).folder_of(the_job.model))
    report = check_data(dataset, opened.settings.home / "reports" / the_job.model)
    show_report(report, as_json=as_json)
    if the_job.data.checks == "strict" and not report.holds:
        raise typer.Exit(1)


def show_report(report: DataReport, *, as_json: bool) -> None:
    """The data checks' verdict."""
    document = {
        "holds": report.holds,
        "errors": [finding.text for finding in report.errors],
        "warnings": [finding.text for finding in report.warnings],
        "passed": len(report.passed),
        "docs": str(report.docs / "index.html"),
    }
    answer(document, as_json=as_json)
    if not as_json:
        marks = [("✗", finding) for finding in report.errors] + [("!", finding) for finding in report.warnings]
        marks += [("✓", finding) for finding in report.passed]
        table("data checks", ["", "expectation"], [(mark, finding.text) for mark, finding in marks])
        print(f"report: {report.docs / 'index.html'}")


def _show(data: DataSet, *, as_json: bool) -> None:
    """What a data set holds."""
    from pipelines.data.dataset import SPLITS

    manifest = data.manifest
    counts = {split: len(data.rows(split)) for split in SPLITS}
    clips = {split: len({row.clip for row in data.rows(split)}) for split in SPLITS}
    document = {"data": str(data.folder), "digest": manifest.digest, "labels": manifest.labels}
    answer(document | {"frames": counts, "clips": clips}, as_json=as_json)
    if not as_json:
        rows = [(split, clips[split], counts[split]) for split in SPLITS]
        table(f"{data.folder} ({len(manifest.labels)} classes)", ["split", "clips", "frames"], rows)
        print(f"manifest: {data.folder / 'manifest.json'} (digest {manifest.digest[:12]})")


def add_to(app: typer.Typer) -> None:
    """Add this group's commands."""
    app.command()(frames)
    app.command()(check)
