"""`promote`, `deploy` and `reconcile`: from a version to a stage and its endpoint."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from pipelines.cli.options import ConfirmTarget, HomeFolder, Policy, chosen_job, confirmation, open_home, read_home
from pipelines.cli.output import AsJson, answer, say, table
from pipelines.cli.policy import policy_app
from pipelines.cli.training import Reference

if TYPE_CHECKING:
    from registry.promotion.context import Outcome
    from registry.records import Finding

StageName = Annotated[str, typer.Argument(metavar="STAGE", help="staging, production or archived.")]


def promote(
    ref: Reference,
    stage: StageName,
    *,
    job_file: Policy = None,
    confirm_target: ConfirmTarget = None,
    home: HomeFolder = None,
    as_json: AsJson = False,
) -> None:
    """Judge a version by the stage's gates; if it passes, move the alias and run the stage's hooks.

    A job file becomes the model's policy with a promotion that passes, and not otherwise.
    """
    from pipelines.promotion.decide import promote as promote_version
    from registry.refs import parse_ref
    from registry.stages import parse_stage

    parsed, wanted = parse_ref(ref), parse_stage(stage)
    choice, agreed = chosen_job(parsed.model, job_file), confirmation(confirm_target, as_json=as_json)
    outcome = promote_version(open_home(home), parsed, wanted, choice, agreed, say)
    show_outcome(outcome, as_json=as_json)


def show_outcome(outcome: Outcome, *, as_json: bool) -> None:
    """A promotion that happened; exit 1 where a hook failed and will be tried again."""
    pending = [str(failure) for failure in outcome.pending]
    document = {"promotion": outcome.promotion.model_dump(mode="json"), "pending": pending}
    document["policy"] = outcome.policy.model_dump(mode="json") if outcome.policy else None
    document["judged"] = {"row": outcome.judged.seq, "at": outcome.judged.at, "now": False} if outcome.judged else None
    answer(document, as_json=as_json)
    if not as_json:
        if outcome.judged is None:
            show_findings(outcome.promotion.findings)
        print(outcome.promotion)
        if outcome.judged is not None:
            print(f"judged {outcome.judged.at:%Y-%m-%d %H:%M} UTC in row {outcome.judged.seq}; not judged now")
        if outcome.policy is not None:
            print(outcome.policy)
    if pending:
        was_tried = outcome.pending[0].attempt > 0
        does = "tries again" if was_tried else "does it where that is set: start `modelyard up` with it"
        say(f"{pending[0]}; the reconciler of `modelyard up` {does}")
        raise typer.Exit(1)


def show_findings(findings: list[Finding]) -> None:
    """What the gates saw; nothing where none was asked, as for an archived version."""
    if findings:
        table("gates", ["", "gate", "finding"], [("✓" if f.passed else "✗", f.gate, f.text) for f in findings])


def deploy(
    ref: Reference,
    *,
    stage: Annotated[str, typer.Option(help="Which stage's endpoint.")] = "production",
    job_file: Policy = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show the plan, as `endpoint plan` does.")] = False,
    home: HomeFolder = None,
    as_json: AsJson = False,
) -> None:
    """Serve a version that was ratified for a stage; promotion does this by itself."""
    from pipelines.promotion.assemble import assemble
    from pipelines.promotion.follow import deploy_by_policy, plan_by_policy
    from registry.refs import parse_ref
    from registry.stages import check_alias_stage, parse_stage

    parsed, wanted = parse_ref(ref), check_alias_stage(parse_stage(stage))
    choice = chosen_job(parsed.model, job_file)
    if dry_run:
        planned = plan_by_policy(assemble(read_home(home), say), parsed, wanted, choice)
        answer(planned.as_dict(), as_json=as_json, text=planned.text)
        return
    event = deploy_by_policy(assemble(open_home(home), say), parsed, wanted, choice)
    answer(event.model_dump(mode="json"), as_json=as_json, text=str(event))


def reconcile(
    *,
    watch: Annotated[bool, typer.Option("--watch", help="Go on until stopped.")] = False,
    every: Annotated[float, typer.Option(help="Seconds between passes.", min=0.1)] = 5,
    webhook_port: Annotated[int | None, typer.Option(help="Listen for MLflow's webhooks here.", min=0, max=65535)] = None,
    home: HomeFolder = None,
    as_json: AsJson = False,
) -> None:
    """Bring what serves in line with what was ratified: retry failed hooks, restart dead endpoints, block the unproven."""
    from pipelines.services.reconciler import keep_reconciling, reconcile_all

    if watch:
        report = (lambda line: answer({"acted": line}, as_json=True)) if as_json else say
        keep_reconciling(open_home(home), every, report, webhook_port)
    done = reconcile_all(open_home(home), say)
    document = {"models": done.models, "aliases": done.aliases, "acted": done.acted}
    answer(document, as_json=as_json, text="\n".join(done.acted) or f"nothing to do: {done.aliases} aliases are up to date")


def add_to(app: typer.Typer) -> None:
    """Add this group's commands."""
    for command in (promote, deploy, reconcile):
        app.command()(command)
    app.add_typer(policy_app, name="policy")
