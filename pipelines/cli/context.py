"""The options that commands share, and what they are turned into. Nothing heavy is imported here."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from pipelines.jobfile import Job
    from pipelines.wiring import Workshop

Home = Annotated[Path | None, typer.Option("--home", help="Where everything lives.  [default: .modelyard]")]
JobFile = Annotated[Path, typer.Option("--job", "-j", help="The job file.")]
JOB = Path("modelyard.yaml")


def workshop(home: Path | None) -> Workshop:
    """Settings from the environment, with the home that the user named."""
    from pipelines.wiring import Workshop
    from registry.settings import read_settings

    return Workshop(read_settings(home))


def job(path: Path) -> Job:
    """The job file, read."""
    from pipelines.jobfile import read_job

    return read_job(path)
