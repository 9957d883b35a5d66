"""The options that commands share, and what they are turned into. Nothing heavy is imported here."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from pipelines.data.catalog import DatasetCatalog
    from pipelines.home import Home
    from pipelines.job.jobfile import Job

HomeFolder = Annotated[Path | None, typer.Option("--home", help="Where everything lives.  [default: .modelyard]")]
JobFile = Annotated[Path, typer.Option("--job", "-j", help="The job file.")]
Policy = Annotated[Path | None, typer.Option("--job", "-j", help="The job file.  [default: modelyard.yaml, else the policy]")]
JOB = Path("modelyard.yaml")


def open_home(folder: Path | None) -> Home:
    """The home that the user named, with the settings of the environment."""
    from pipelines.home import Home
    from registry.settings import read_settings

    return Home(read_settings(folder))


def read_home(folder: Path | None) -> Home:
    """The same for a command that only reads: a home that was named and is not there was misspelt, and none is made.

    The default one may be not there yet: it reads as empty.
    """
    from registry.errors import InputError, NotFoundError
    from registry.settings import Settings

    opened = open_home(folder)
    home = opened.settings.home
    if home.exists() and not home.is_dir():
        raise InputError(f"home {home}", "is not a folder", "see how --home or MODELYARD_HOME is spelled")
    if not home.exists() and home != Settings.model_fields["home"].default:
        raise NotFoundError(f"home {home}", "does not exist", "see how --home or MODELYARD_HOME is spelled")
    return opened


def datasets_of(home: Home) -> DatasetCatalog:
    """The home's data sets."""
    from pipelines.data.catalog import DatasetCatalog

    return DatasetCatalog(home.settings.datasets)


def job(path: Path) -> Job:
    """The job file, read."""
    from pipelines.job.jobfile import read_job

    return read_job(path)


def policy_of(model: str, path: Path | None) -> Job | None:
    """The job file that was named, or that lies here and is this model's; None means the policy in the ledger."""
    from registry.errors import InputError

    if path is None and not JOB.exists():
        return None
    chosen = job(path or JOB)
    if chosen.model == model:
        return chosen
    if path is None:
        return None
    raise InputError(path, f"is the job of '{chosen.model}', not of '{model}'", "name the right one with --job")
