"""The options that commands share, and what they are turned into. Nothing heavy is imported here."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from pipelines.data.catalog import DatasetCatalog
    from pipelines.data.dataset import DataSet
    from pipelines.home import Home
    from pipelines.job.jobfile import Job
    from pipelines.job.policy import JobChoice
    from pipelines.promotion.policy import Confirmation

HomeFolder = Annotated[Path | None, typer.Option("--home", help="Where everything lives.  [default: .modelyard]")]
JobFile = Annotated[Path, typer.Option("--job", "-j", help="The job file.")]
DataFolder = Annotated[
    Path | None,
    typer.Option("--data", help="A folder, MODEL@VERSION or the beginning of a digest.  [default: HOME/datasets/MODEL]"),
]
Policy = Annotated[
    Path | None,
    typer.Option("--job", "-j", help="A job file to go by.  [default: the policy; modelyard.yaml if it is the same]"),
]
ConfirmTarget = Annotated[
    list[str] | None,
    typer.Option("--confirm-target", metavar="KIND", help="Agree to a change of deployment target, such as runpod."),
]
HOST_HELP = "The address to listen at; any but loopback needs MODELYARD_API_KEY."
NoKey = Annotated[bool, typer.Option("--no-key", help="Answer other machines without a key: something in front asks for one.")]
JOB = Path("modelyard.yaml")
_SHOWN = 5


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


def chosen_data(home: Home, data: Path | None, job_file: Path, model: str | None = None) -> Path:
    """The data set that was named, else the model's: that of the job file, or the only one of the home."""
    from pipelines.cli.output import say
    from registry.errors import InputError

    if data is not None:
        return data
    datasets = datasets_of(home)
    if model is None and job_file == JOB and not JOB.exists() and (known := datasets.models()):
        if len(known) > 1:
            more = ", ..." if len(known) > _SHOWN else ""
            several = f"there are data sets of {len(known)} models ({', '.join(known[:_SHOWN])}{more}) and no {JOB} here"
            raise InputError(f"home {home.settings.home}", several, f"name one, such as --data {known[0]}")
        model = known[0]
        say(f"the data set of '{model}', the only model with data sets in {home.settings.home}")
    return datasets.folder_of(model or job(job_file).model)


def chosen_dataset(home: Home, data: Path | None, job_file: Path, model: str | None = None) -> DataSet:
    """The same, opened: a folder, or a version that a reference names."""
    return datasets_of(home).resolve(chosen_data(home, data, job_file, model))


def job(path: Path) -> Job:
    """The job file, read."""
    from pipelines.job.jobfile import read_job

    return read_job(path)


def chosen_job(model: str, path: Path | None) -> JobChoice:
    """The job file that was named, or that lies here and is this model's; without one, the policy in the ledger."""
    from pipelines.job.policy import JobChoice
    from registry.errors import InputError

    if path is None and not JOB.exists():
        return JobChoice()
    chosen = job(path or JOB)
    if chosen.model == model:
        return JobChoice(chosen, path or JOB, explicit=path is not None)
    if path is None:
        return JobChoice()
    raise InputError(path, f"is the job of '{chosen.model}', not of '{model}'", "name the right one with --job")


def confirmation(targets: list[str] | None, *, as_json: bool) -> Confirmation:
    """What was agreed to by option; the rest is asked for on a terminal, and refused elsewhere."""
    import sys

    from pipelines.promotion.policy import Confirmation

    asks = not as_json and sys.stdin.isatty() and sys.stderr.isatty()
    return Confirmation(tuple(targets or ()), (lambda question: typer.confirm(question, err=True)) if asks else None)
