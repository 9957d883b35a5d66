"""`policy`: the job that a model is judged, exported and deployed by, as a decision of its own."""

from __future__ import annotations

from typing import Annotated

import typer

from pipelines.cli.options import JOB, ConfirmTarget, HomeFolder, JobFile, chosen_job, confirmation, job, open_home, read_home
from pipelines.cli.output import AsJson, answer, say

ModelName = Annotated[str, typer.Argument(metavar="NAME", help="The model.")]

policy_app = typer.Typer(
    help="What versions are judged, exported and deployed by.", no_args_is_help=True, rich_markup_mode=None
)


@policy_app.command("set")
def set_policy(
    *,
    job_file: JobFile = JOB,
    confirm_target: ConfirmTarget = None,
    home: HomeFolder = None,
    as_json: AsJson = False,
) -> None:
    """Make a job file the policy of its model, and record what it changes. Nothing is judged and nothing moves."""
    from pipelines.promotion.policy import record_policy

    the_job = job(job_file)
    event = record_policy(open_home(home), the_job, confirmation(confirm_target, as_json=as_json), say)
    text = str(event) if event else f"{job_file} is the policy of {the_job.model} already"
    answer(event.model_dump(mode="json") if event else None, as_json=as_json, text=text)


@policy_app.command()
def show(model: ModelName, *, home: HomeFolder = None, as_json: AsJson = False) -> None:
    """The policy in force: who set it, when, what it changed, and the job itself."""
    import yaml

    from pipelines.job.policy import document_of
    from pipelines.promotion.policy import policy_row
    from registry.refs import check_model_name

    entry = policy_row(read_home(home).ledger(), check_model_name(model))
    document = document_of(entry)
    text = (
        f"# row {entry.seq}, {entry.at:%Y-%m-%d %H:%M} UTC: {entry.event}\n{yaml.safe_dump(document, sort_keys=False)}".rstrip()
    )
    answer({"row": entry.seq, "at": entry.at, **entry.event.model_dump(mode="json")}, as_json=as_json, text=text)


@policy_app.command()
def diff(model: ModelName, *, job_file: JobFile = JOB, home: HomeFolder = None, as_json: AsJson = False) -> None:
    """What a job file would change about the policy, in words; exit 1 where it changes something."""
    from pipelines.job.policy import changes_of
    from pipelines.promotion.policy import policy_row
    from registry.refs import check_model_name

    entry, choice = policy_row(read_home(home).ledger(), check_model_name(model)), chosen_job(model, job_file)
    changes = changes_of(entry, choice.job) if choice.job else []
    answer(changes, as_json=as_json, text="\n".join(changes) or f"{job_file} is the policy of {model}")
    if changes:
        raise typer.Exit(1)


@policy_app.command()
def approve(
    model: ModelName,
    *,
    name: Annotated[str | None, typer.Option("--as", help="Who you are.  [default: your account]")] = None,
    home: HomeFolder = None,
    as_json: AsJson = False,
) -> None:
    """Approve exactly the policy in force, as a person other than who set it."""
    from pipelines.promotion.policy import approve_policy
    from registry.refs import check_model_name

    event = approve_policy(open_home(home), check_model_name(model), name)
    answer(event.model_dump(mode="json"), as_json=as_json, text=str(event))
    if not event.proven:
        say("the name is self-declared and unverified: the MLflow server has no logins")
