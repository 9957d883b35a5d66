"""`init` and `schema`: the job file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pipelines.cli.options import JOB
from pipelines.cli.output import AsJson, answer


def init(
    path: Annotated[
        Path | None,
        typer.Argument(metavar="[DIR|FILE]", help="The folder to look at, or the file to write.  [default: both here]"),
    ] = None,
    *,
    name: Annotated[str | None, typer.Option(metavar="MODEL", help="The model's name.  [default: the folder's]")] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a job file that is there.")] = False,
    as_json: AsJson = False,
) -> None:
    """Look at what lies in a folder and write the commented job file for it; with nothing there, a template."""
    from pipelines.job.template import write_job_file

    folder, target = (path, JOB) if path and path.is_dir() else (None, path) if path else (Path(), JOB)
    choices = None
    if folder is not None and (force or not target.exists()):
        from pipelines.data.importing.suggest import suggest

        choices = suggest(folder)
    write_job_file(target, force=force, choices=choices, model=name)
    if choices is None:
        remedy = "put clips into clips/<class>/*.mp4, then `modelyard frames`"
        answer({"job": str(target)}, as_json=as_json, text=f"wrote {target}; {remedy}")
        return
    document = {"job": str(target), "model": name or choices.model, "task": choices.task, choices.source: choices.folder}
    document |= {"layout": choices.layout, "notes": list(choices.notes), "group": choices.group, "group_sure": choices.sure}
    answer(document, as_json=as_json, text=f"wrote {target} for {choices.layout} in {choices.folder}; next: `modelyard frames`")


def schema(*, as_json: AsJson = False) -> None:
    """Print the job file's JSON schema, for editors."""
    import json

    from pipelines.job.jobfile import Job

    document = Job.model_json_schema()
    answer(document, as_json=as_json, text=json.dumps(document, indent=2))


def add_to(app: typer.Typer) -> None:
    """Add this group's commands."""
    app.command()(init)
    app.command()(schema)
