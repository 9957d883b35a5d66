"""The options that commands share, and what they are turned into. Nothing heavy is imported here."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from pipelines.home import Workshop
    from pipelines.job.jobfile import Job

Home = Annotated[Path | None, typer.Option("--home", help="Where everything lives.  [default: .modelyard]")]
JobFile = Annotated[Path, typer.Option("--job", "-j", help="The job file.")]
Policy = Annotated[Path | None, typer.Option("--job", "-j", help="The job file.  [default: modelyard.yaml, else the policy]")]
JOB = Path("modelyard.yaml")


def workshop(home: Path | None) -> Workshop:
    """Settings from the environment, with the home that the user named."""
    from pipelines.home import Workshop
    from registry.settings import read_settings

    return Workshop(read_settings(home))


def job(path: Path) -> Job:
    """The job file, read."""
    from pipelines.job.jobfile import read_job

    return read_job(path)


def policy_of(model: str, path: Path | None) -> Job | None:
    """The job file that was named, or that lies here and is this model's; None means the policy in the ledger."""
    from registry.errors import InputError

    if path is None and not JOB.exists():
        return None
    told = job(path or JOB)
    if told.model == model:
        return told
    if path is None:
        return None
    raise InputError(path, f"is the job of '{told.model}', not of '{model}'", "name the right one with --job")
