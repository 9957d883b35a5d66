"""`modelyard data …`: a home's data sets, looked at. Each topic adds its commands."""

from __future__ import annotations

import typer

from pipelines.cli.dataset import importing, labels, show, versions
from pipelines.cli.dataset.leaks import leaks

data = typer.Typer(
    name="data", help="Data sets: versions, differences, leaks, labels.", no_args_is_help=True, rich_markup_mode=None
)


def add_to(app: typer.Typer) -> None:
    """Add the group, and the commands beside it."""
    importing.add_to(app)
    show.add_to(data)
    data.command()(leaks)
    versions.add_to(data)
    labels.add_to(data)
    app.add_typer(data)
