"""`predict` and `status`: asking, without changing anything."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pipelines.cli.options import HomeFolder, read_home
from pipelines.cli.output import AsJson, answer, table


def predict(
    ref_or_url: Annotated[str, typer.Argument(metavar="REF_OR_URL", help="NAME@production, NAME/VERSION, or http://….")],
    images: Annotated[list[Path], typer.Argument(metavar="IMAGE…", help="Image files.")],
    *,
    home: HomeFolder = None,
    as_json: AsJson = False,
) -> None:
    """Ask an endpoint, or a version's bundle, what images show."""
    from pipelines.deployment.targets import Targets
    from pipelines.queries.predict import Prediction

    opened = read_home(home)
    prediction = Prediction(opened.ledger, opened.store, Targets(opened.settings), opened.settings.endpoint_headers)
    answers = prediction.predict(ref_or_url, images)
    answer([a.model_dump() for a in answers], as_json=as_json)
    if not as_json:
        table(
            f"answers of {ref_or_url}",
            ["image", "label", "probability", "served by"],
            [(a.image, a.label, f"{a.probability:.3f}", a.served_by) for a in answers],
        )


def status(*, home: HomeFolder = None, as_json: AsJson = False) -> None:
    """What is registered, which stage it holds, what serves it, and what is pending."""
    from pipelines.deployment.targets import Targets
    from pipelines.queries.status import status as read_status

    opened = read_home(home)
    rows = read_status(opened.store(), opened.ledger(), Targets(opened.settings))
    answer([row.model_dump(mode="json") for row in rows], as_json=as_json)
    if not as_json:
        shown = [(r.ref, r.stage, r.trainer, "" if r.top1 is None else f"{r.top1:.3f}", r.endpoint, r.note) for r in rows]
        table("models", ["version", "stage", "trainer", "test top-1", "endpoint", "note"], shown)


def add_to(app: typer.Typer) -> None:
    """Add this group's commands."""
    for command in (predict, status):
        app.command()(command)
