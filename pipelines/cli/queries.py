"""`predict` and `status`: asking, without changing anything."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipelines.cli.options import HomeFolder, read_home
from pipelines.cli.output import AsJson, answer, bar, say, table

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pipelines.queries.answers import Answer
    from pipelines.queries.status import Row

_LISTED = 5


def predict(
    ref_or_url: Annotated[str, typer.Argument(metavar="REF_OR_URL", help="NAME@production, NAME/VERSION, or http://….")],
    images: Annotated[
        list[Path], typer.Argument(metavar="IMAGE…", help="Pictures, videos, folders, 'patterns/**/*.jpg', or - for stdin.")
    ],
    *,
    fps: Annotated[float, typer.Option(help="Frames of each second of a video.", min=0.001, max=120)] = 5,
    as_csv: Annotated[bool, typer.Option("--csv", help="Give the answers as CSV, row by row.")] = False,
    home: HomeFolder = None,
    as_json: AsJson = False,
) -> None:
    """Ask an endpoint, or a version's bundle, what pictures show.

    Exits with 0 if every picture was answered, 1 if some were not, 2 if none was.
    """
    from pipelines.deployment.targets import Targets
    from pipelines.queries.pictures import sources_of
    from pipelines.queries.predict import Prediction
    from registry.errors import InputError

    if as_csv and as_json:
        raise InputError("--csv and --json", "are two formats", "choose one")
    opened, sources = read_home(home), sources_of(images)
    _say_skipped(sources.skipped)
    prediction = Prediction(opened.ledger, opened.store, Targets(opened.settings), opened.settings.endpoint_headers)
    with bar() as progress:
        answers = prediction.answers(ref_or_url, sources, fps, lambda done, of: progress("files", done, of) if of > 1 else None)
        rows = _print_csv(answers) if as_csv else list(answers)
    if as_json:
        answer([row.model_dump() for row in rows], as_json=True)
    elif not as_csv:
        _show(ref_or_url, rows)
    failed = [row for row in rows if row.error]
    if failed:
        print(f"modelyard: {failed[0].subject}: {failed[0].error}", file=sys.stderr)
        if len(rows) > 1:
            say(f"{len(failed)} of {len(rows)} pictures were not answered")
        raise typer.Exit(1 if len(failed) < len(rows) else 2)


def _say_skipped(files: list[Path]) -> None:
    """Name a few of the files that were left out."""
    if files:
        names = ", ".join(path.name if path.name.isprintable() else ascii(path.name) for path in files[:_LISTED])
        more = f" and {len(files) - _LISTED} more" if len(files) > _LISTED else ""
        say(f"skipped {len(files)} that are neither pictures nor videos: {names}{more}")


def _print_csv(answers: Iterable[Answer]) -> list[Answer]:
    """Print each answer when it comes; the head only where there is one."""
    from pipelines.queries.answers import COLUMNS, csv_line, csv_row

    rows: list[Answer] = []
    for row in answers:
        if not rows:
            print(csv_line(COLUMNS))
        print(csv_row(row), flush=True)
        rows.append(row)
    return rows


def _show(ref_or_url: str, rows: list[Answer]) -> None:
    """The answers for people; errors only where there are some, and none where one picture's error says it all."""
    if len(rows) == 1 and rows[0].error:
        return
    columns, boxes = ["image", "label", "probability"], any(row.boxes is not None for row in rows)
    unsure = any(len(row.could_be or []) > 1 for row in rows)
    columns += [
        *(["unsure: could be"] if unsure else []),
        *(["boxes"] if boxes else []),
        "served by",
        *(["error"] if any(row.error for row in rows) else []),
    ]
    cells = [
        {
            "image": row.subject,
            "label": row.label,
            "probability": "" if row.probability is None else f"{row.probability:.3f}",
            "unsure: could be": " or ".join(row.could_be or []) if len(row.could_be or []) > 1 else "",
            "boxes": "" if row.boxes is None else len(row.boxes),
            "served by": row.served_by,
            "error": row.error,
        }
        for row in rows
    ]
    table(f"answers of {ref_or_url}", columns, [[row[name] for name in columns] for row in cells])


def status(*, home: HomeFolder = None, as_json: AsJson = False) -> None:
    """What is registered, which stage it holds, what serves it, and what is pending."""
    from pipelines.deployment.targets import Targets
    from pipelines.queries.status import status as read_status

    opened = read_home(home)
    rows = read_status(opened.store(), opened.ledger(), Targets(opened.settings))
    answer([row.model_dump(mode="json") for row in rows], as_json=as_json)
    if not as_json:
        notes = [" · ".join(filter(None, [r.note, *(str(wait) for wait in r.waits if wait.until)])) for r in rows]
        shown = [(r.ref, r.stage, r.trainer, _score(r), r.endpoint, n) for r, n in zip(rows, notes, strict=True)]
        detects = any(r.map50_95 is not None for r in rows)
        table("models", ["version", "stage", "trainer", "test score" if detects else "test top-1", "endpoint", "note"], shown)
        for line in dict.fromkeys(str(wait) for r in rows for wait in r.waits if wait.until is None):
            print(line)


def _score(row: Row) -> str:
    """A classifier's top-1; a detector's says what it is."""
    if row.map50_95 is not None:
        return f"mAP50-95 {row.map50_95:.3f}"
    return "" if row.top1 is None else f"{row.top1:.3f}"


def add_to(app: typer.Typer) -> None:
    """Add this group's commands."""
    for command in (predict, status):
        app.command()(command)
