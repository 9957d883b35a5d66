"""`data list` and `data diff`: which versions of a data set there are, and how two differ."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from pipelines.cli.options import HomeFolder, datasets_of, read_home
from pipelines.cli.output import AsJson, answer, say, table

if TYPE_CHECKING:
    from pipelines.data.catalog import DatasetCatalog, Lineage
    from pipelines.data.dataset import DataSet
    from pipelines.data.difference import DataDiff
    from pipelines.data.versions import Step, VersionRow

VERSION_HELP = "A folder, MODEL@VERSION, or the beginning of a digest."


def list_(
    model: Annotated[str | None, typer.Argument(metavar="[MODEL]", help="The model.  [default: all]")] = None,
    *,
    home: HomeFolder = None,
    as_json: AsJson = False,
) -> None:
    """List the versions of data sets: what they are made of, their splits, their parents, and what was trained on them."""
    from pipelines.data.versions import list_versions

    opened = read_home(home)
    rows = list_versions(datasets_of(opened), opened.ledger().entries(), model)
    answer([row.model_dump(mode="json") for row in rows], as_json=as_json)
    if not as_json:
        _show_versions(rows)


def diff(
    a: Annotated[str, typer.Argument(metavar="A", help=VERSION_HELP)],
    b: Annotated[str, typer.Argument(metavar="B", help=VERSION_HELP)],
    *,
    home: HomeFolder = None,
    as_json: AsJson = False,
) -> None:
    """Show what changed from one version of a data set to another: clips, frames, splits, boxes, class balance, settings."""
    from pipelines.data.sentences import sentences
    from pipelines.data.versions import difference

    changes = difference(datasets_of(read_home(home)), a, b)
    answer(changes.model_dump(mode="json") | {"sentences": sentences(changes)}, as_json=as_json)
    if not as_json:
        for sentence in sentences(changes):
            print(sentence)
        if not changes.same_frames:
            _show_balance(changes)


def say_step(datasets: DatasetCatalog, before: Lineage, made: DataSet, model: str) -> Step:
    """What came of writing a version, after the lineage as it was before; says what of that could not be read."""
    from pipelines.data.versions import step

    if before.warning:
        say(before.warning)
    return step(datasets, before.versions, made.manifest.digest, model)


def _show_versions(rows: list[VersionRow]) -> None:
    if not rows:
        print("no data sets; make one with `modelyard frames`")
        return
    columns = ["version", "digest", "made (UTC)", "from", "classes", "clips", "frames (train/val/test)", "parent"]
    columns += ["models", "pictures"]
    shown = [
        (
            f"{row.name}{' (current)' if row.current else ''}",
            row.digest[:12],
            row.made[:16].replace("T", " "),
            row.made_from,
            len(row.labels),
            row.clips,
            f"{row.frames} ({'/'.join(str(counts['frames']) for counts in row.splits.values())})",
            row.parent,
            ", ".join(row.trained),
            "here" if row.present else "pictures removed",
        )
        for row in rows
    ]
    table("data sets", columns, shown)


def _show_balance(changes: DataDiff) -> None:
    rows = [
        (
            line.label,
            line.split,
            _both(line.clips_before, line.clips),
            _both(line.frames_before, line.frames),
        )
        for line in changes.balance
    ]
    unit = f"{changes.unit}s"
    table(f"{changes.before} and {changes.after}", ["class", "split", unit, "frames"], rows)


def _both(before: int, after: int) -> str:
    return f"{before}" if before == after else f"{before} → {after}"


def add_to(group: typer.Typer) -> None:
    """Add this topic's commands."""
    group.command("list")(list_)
    group.command()(diff)
