"""`init` and `schema`: the job file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pipelines.cli.options import JOB
from pipelines.cli.output import AsJson, answer


def init(
    path: Annotated[Path, typer.Argument(help="Where to write the job file.")] = JOB,
    *,
    force: Annotated[bool, typer.Option("--force", help="Replace a job file that is there.")] = False,
    as_json: AsJson = False,
) -> None:
    """Write a commented job file."""
    from pipelines.job.template import write_job_file

    write_job_file(path, force=force)
    answer(
        {"job": str(path)}, as_json=as_json, text=f"wrote {path}; put clips into clips/<class>/*.mp4, then `modelyard frames`"
    )


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
