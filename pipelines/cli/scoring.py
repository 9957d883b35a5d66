"""`score`: a version's answers about a whole folder, in one file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pipelines.cli.options import HomeFolder, read_home
from pipelines.cli.output import AsJson, answer, bar, say


def score(
    sources: Annotated[list[Path], typer.Argument(metavar="DIR|VIDEO|FILE…", help="Folders with theirs, videos and pictures.")],
    *,
    model: Annotated[str, typer.Option(help="NAME@production or NAME/VERSION, which has a bundle.")],
    out: Annotated[Path, typer.Option(help="The file to write: .csv, .jsonl or .parquet.")],
    fps: Annotated[float, typer.Option(help="Frames of each second of a video.", min=0.001, max=120)] = 5,
    ray: Annotated[str | None, typer.Option(metavar="ADDRESS", help="By Ray Data: local, auto or an address.")] = None,
    workers: Annotated[int, typer.Option(help="Threads without Ray; 0: one a core.", min=0, max=256)] = 0,
    strict: Annotated[bool, typer.Option("--strict", help="Write nothing where a file cannot be read.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the file that is there.")] = False,
    home: HomeFolder = None,
    as_json: AsJson = False,
) -> None:
    """Score whole folders and videos with a version's bundle, into one file.

    A run that was interrupted goes on where it stopped. Files that cannot be read are listed and left out.
    """
    from pipelines.queries.scoring.score import ScoreOptions, Scoring

    opened = read_home(home)
    options = ScoreOptions(fps, ray, workers, strict, overwrite)
    with bar() as progress:
        summary = Scoring(opened.ledger, opened.store, say, progress).score(model, sources, out, options)
    answer(summary.model_dump(mode="json"), as_json=as_json, text=str(summary))


def add_to(app: typer.Typer) -> None:
    """Add this group's command."""
    app.command()(score)
