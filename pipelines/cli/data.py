"""`frames` and `check`: from clips to a data set that may be trained on; `clean`: what nothing refers to any more."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipelines.cli.options import JOB, HomeFolder, JobFile, datasets_of, job, open_home, read_home
from pipelines.cli.output import AsJson, answer, bar, say, table

if TYPE_CHECKING:
    from pipelines.cleaning.unused import Unused
    from pipelines.data.dataset import DataSet
    from pipelines.home import Home
    from registry.protocols import Versions
    from validation.data.suite import DataReport

DataFolder = Annotated[Path | None, typer.Option("--data", help="The data set.  [default: HOME/datasets/MODEL]")]


def frames(
    *,
    clips: Annotated[Path | None, typer.Option(help="A folder of <class>/*.mp4, instead of the job file's.")] = None,
    images: Annotated[Path | None, typer.Option(help="A folder of <class>/*.jpg, instead of clips.")] = None,
    group: Annotated[str | None, typer.Option(help="Regular expression: which images belong together.")] = None,
    fps: Annotated[float | None, typer.Option(help="Frames kept from each second.", min=0.01, max=120)] = None,
    out: Annotated[Path | None, typer.Option(help="Where to.  [default: HOME/datasets/MODEL]")] = None,
    strict: Annotated[bool, typer.Option("--strict", help="Refuse a clip of which only a part decodes.")] = False,
    job_file: JobFile = JOB,
    home: HomeFolder = None,
    as_json: AsJson = False,
) -> None:
    """Turn clips (or images) into a data set, split by clip, with a manifest."""
    from pipelines.data.build import open_source
    from pipelines.data.sources import check_source

    check_source(clips, images, group)
    the_job = job(job_file)
    given = {"clips": clips, "images": images, "group": group, "fps": fps}
    changes = {key: value for key, value in given.items() if value is not None}
    if clips and not images:
        changes["images"] = None
    data = the_job.data.model_copy(update=changes)
    datasets = datasets_of(open_home(home))
    folder = out or datasets.folder_of(the_job.model)
    with bar() as progress:
        source = open_source(data, 2 if the_job.task == "classify" else 1, strict=strict)
        made = datasets.build(data, folder, progress, source, model=the_job.model)
    _show(made, as_json=as_json)


def check(*, data: DataFolder = None, job_file: JobFile = JOB, home: HomeFolder = None, as_json: AsJson = False) -> None:
    """Check the data set with Great Expectations; exit 1 where a strict check fails."""
    from pipelines.data.checks import check as check_data
    from pipelines.data.dataset import open_dataset

    the_job, opened = job(job_file), open_home(home)
    dataset = open_dataset(data or datasets_of(opened).folder_of(the_job.model))
    report = check_data(dataset, opened.settings.home / "reports" / the_job.model, the_job.data.leaks)
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
        "leaks": report.leaks,
        "leaked_share": report.leaked_share,
    }
    answer(document, as_json=as_json)
    if not as_json:
        marks = [("✗", finding) for finding in report.errors] + [("!", finding) for finding in report.warnings]
        marks += [("✓", finding) for finding in report.passed]
        table("data checks", ["", "expectation"], [(mark, finding.text) for mark, finding in marks])
        print(f"report: {report.docs / 'index.html'}")
        if report.leaks:
            print(f"leaks, side by side: {report.docs.parent / 'leaks' / 'index.html'}")


def _show(data: DataSet, *, as_json: bool) -> None:
    """What a data set holds."""
    from pipelines.cli.dataset.clips import read_sources, show_clips
    from pipelines.data.dataset import SPLITS

    manifest = data.manifest
    counts = {split: len(data.rows(split)) for split in SPLITS}
    clips = {split: len({row.clip for row in data.rows(split)}) for split in SPLITS}
    document = {"data": str(data.folder), "digest": manifest.digest, "labels": manifest.labels}
    sources = read_sources(data.folder)
    answer(document | {"frames": counts, "clips": clips, "sources": sources}, as_json=as_json)
    if not as_json:
        show_clips(sources)
        rows = [(split, clips[split], counts[split]) for split in SPLITS]
        table(f"{data.folder} ({len(manifest.labels)} classes)", ["split", "clips", "frames"], rows)
        print(f"manifest: {data.folder / 'manifest.json'} (digest {manifest.digest[:12]})")


class CleanKind(StrEnum):
    """What can be cleaned."""

    BUNDLES = "bundles"
    DATASETS = "datasets"
    ENVIRONMENTS = "environments"
    LOGS = "logs"
    LEFTOVERS = "leftovers"


def clean(
    *,
    kind: Annotated[list[CleanKind] | None, typer.Option(help="Only this kind; may be repeated.  [default: all]")] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Remove without asking.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show, whatever else is said.")] = False,
    home: HomeFolder = None,
    as_json: AsJson = False,
) -> None:
    """Show what nothing refers to any more, with sizes, and remove it when told to: exports, data sets, logs, leftovers."""
    import sys
    import time

    from pipelines.cleaning.clean import Cleaner
    from pipelines.cleaning.unused import KINDS
    from registry.errors import NotFoundError

    opened = read_home(home)
    if not opened.settings.home.is_dir():
        raise NotFoundError(opened.settings.home, "there is no such home", "name it with --home")
    cleaner = Cleaner(opened.settings, opened.ledger(), _registry_of(opened), time.time)
    items = cleaner.find([name for name in KINDS if not kind or name in {chosen.value for chosen in kind}])
    if not as_json:
        _show_unused(items)
    asked = not (yes or as_json or dry_run) and bool(items) and sys.stdin.isatty()
    wanted = not dry_run and (yes or (asked and typer.confirm("remove all of this?")))
    removed = cleaner.remove(items) if wanted else []
    paths = {item.path for item in removed}
    answer([item.model_dump(mode="json") | {"removed": item.path in paths} for item in items], as_json=as_json)
    if not as_json and removed:
        print(f"removed {len(removed)}, which gives back {_megabytes(removed)}")
    elif not as_json and items and not asked:
        print("nothing was removed; `modelyard clean --yes` removes it")


def _registry_of(opened: Home) -> Versions | None:
    """MLflow's registry, or None where no server runs: then every version that the ledger names counts as existing."""
    from registry.errors import UnavailableError

    try:
        return opened.store()
    except UnavailableError:
        say("no MLflow server runs: versions that were deleted in MLflow count as existing")
        return None


def _show_unused(items: Sequence[Unused]) -> None:
    """What may go, and how much it is."""
    rows = [(item.kind, item.path, f"{item.size / 1e6:.1f} MB", item.why) for item in items]
    table(f"{len(items)} unused, {_megabytes(items)}", ["kind", "path", "size", "why"], rows)


def _megabytes(items: Sequence[Unused]) -> str:
    return f"{sum(item.size for item in items) / 1e6:.1f} MB"


def add_to(app: typer.Typer) -> None:
    """Add this group's commands."""
    app.command()(frames)
    app.command()(check)
    app.command()(clean)
