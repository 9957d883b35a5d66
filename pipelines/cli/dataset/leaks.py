"""`modelyard data leaks`: which held-out pictures are known before the test."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipelines.cli.options import JOB, DataFolder, HomeFolder, JobFile, chosen_dataset, read_home
from pipelines.cli.output import AsJson, answer, bar, table

if TYPE_CHECKING:
    from pipelines.data.leaks.report import LeakReport


def leaks(
    *,
    data: DataFolder = None,
    report: Annotated[Path | None, typer.Option(help="Also write the pairs as pictures side by side into this folder.")] = None,
    job_file: JobFile = JOB,
    home: HomeFolder = None,
    as_json: AsJson = False,
) -> None:
    """Find copies, scenes, clips, groups, recordings and moments that are in two splits; exit 1 where there are any."""
    from pipelines.data.leaks.find import find_leaks
    from pipelines.data.leaks.sheet import write_leaks
    from registry.errors import InputError

    opened = read_home(home)
    dataset = chosen_dataset(opened, data, job_file)
    if report and report.exists():
        raise InputError(report, "exists already", "name a folder that is not there yet")
    with bar() as progress:
        leaked = find_leaks(dataset, progress)
    page = report / "index.html" if report else None
    if report:
        write_leaks(leaked, report, dataset.folder)
    answer(leaked.document() | ({"report": str(page)} if page else {}), as_json=as_json)
    if not as_json:
        _show(leaked, {row.file: row.clip for row in dataset.manifest.frames}, page)
    if leaked.leaks:
        raise typer.Exit(1)


def _show(leaked: LeakReport, clips: dict[str, str], page: Path | None) -> None:
    """The sentences, the shares, and which clips give each other away."""
    from pipelines.data.leaks.report import HELD_OUT

    marks = [("✗", finding.text) for finding in leaked.errors()] + [("!", finding.text) for finding in leaked.warnings()]
    table("leaks across splits", ["", "finding"], marks or [("✓", "no held-out picture is leaked")])
    rows = [(split, leaked.images[split], len(leaked.leaked(split)), f"{leaked.share(split):.1%}") for split in HELD_OUT]
    table("held-out images", ["split", "images", "leaked", "share"], rows)
    pairs = [pair for pair in leaked.pairs_of_clips(clips) if pair[3] > 1][:20]
    if pairs:
        table("by clip or group", ["evidence", "earlier", "held out", "images"], pairs)
    if leaked.alike_in_train is not None and leaked.leaks:
        print(f"for comparison: {leaked.alike_in_train:.0%} of train lies as near to another clip of train")
    if page:
        print(f"pictures: {page}")
