"""`modelyard data show`: a contact sheet of a split."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from pipelines.cli.options import JOB, HomeFolder, JobFile, chosen_dataset, read_home
from pipelines.cli.output import AsJson, answer


class SplitChoice(StrEnum):
    """The splits."""

    TRAIN = "train"
    VAL = "val"
    TEST = "test"


def show(
    *,
    data: Annotated[Path | None, typer.Option("--data", help="The data set.  [default: HOME/datasets/MODEL]")] = None,
    split: Annotated[SplitChoice, typer.Option(help="Which pictures.")] = SplitChoice.TRAIN,
    out: Annotated[Path, typer.Option(help="The PNG file to write.  [default: MODEL-SPLIT.png]")] = Path(),
    name: Annotated[str | None, typer.Option("--name", help="The model.  [default: the job file's]")] = None,
    job_file: JobFile = JOB,
    home: HomeFolder = None,
    as_json: AsJson = False,
) -> None:
    """Draw a contact sheet: a row for each class, or pictures with their boxes."""
    from pipelines.data.sheets import write_sheet

    opened = read_home(home)
    dataset = chosen_dataset(opened, data, job_file, name)
    path = write_sheet(dataset, split, Path(f"{dataset.name}-{split}.png") if out == Path() else out)
    document = {"sheet": str(path), "split": str(split), "images": len(dataset.rows(split)), "digest": dataset.manifest.digest}
    answer(document, as_json=as_json, text=f"{path}: {document['images']:,} images in {split}")


def add_to(group: typer.Typer) -> None:
    """Add the command to `modelyard data`."""
    group.command("show")(show)
