"""`promote`, `deploy` and `reconcile`: from a version to a stage and its endpoint."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from pipelines.cli.options import JOB, Home, JobFile, Policy, job, policy_of, workshop
from pipelines.cli.output import AsJson, answer, say, table
from pipelines.cli.training import Reference

if TYPE_CHECKING:
    from registry.promotion.context import Outcome
    from registry.records import Finding

StageName = Annotated[str, typer.Argument(metavar="STAGE", help="staging, production or archived.")]


def promote(ref: Reference, stage: StageName, *, job_file: Policy = None, home: Home = None, as_json: AsJson = False) -> None:
    """Judge a version by the stage's gates; if it passes, move the alias and run the stage's hooks."""
    from pipelines.promotion.decide import promote as promote_version
    from registry.refs import parse_ref
    from registry.stages import parse_stage

    parsed, wanted = parse_ref(ref), parse_stage(stage)
    told = policy_of(parsed.model, job_file)
    outcome = promote_version(workshop(home), parsed, wanted, told, say)
    show_outcome(outcome, as_json=as_json)


def show_outcome(outcome: Outcome, *, as_json: bool) -> None:
    """A promotion that happened; exit 1 where a hook failed and will be tried again."""
    pending = [str(failure) for failure in outcome.pending]
    answer({"promotion": outcome.promotion.model_dump(mode="json"), "pending": pending}, as_json=as_json)
    if not as_json:
        show_findings(outcome.promotion.findings)
        print(outcome.promotion)
    if pending:
        say(f"{pending[0]}; the reconciler of `modelyard up` tries again")
        raise typer.Exit(1)


def show_findings(findings: list[Finding]) -> None:
    """What the gates saw."""
    table("gates", ["", "gate", "finding"], [("✓" if one.passed else "✗", one.gate, one.text) for one in findings])


def deploy(
    ref: Reference,
    *,
    stage: Annotated[str, typer.Option(help="Which stage's endpoint.")] = "production",
    job_file: JobFile = JOB,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Serve a version that was ratified for a stage; promotion does this by itself."""
    from pipelines.deployment.deploy import deploy as deploy_version
    from pipelines.deployment.targets import LocalDeploy
    from registry.refs import parse_ref
    from registry.stages import parse_stage

    parsed, wanted, told, shop = parse_ref(ref), parse_stage(stage), job(job_file), workshop(home)
    config = (told.deploy.staging if wanted == "staging" else told.deploy.production) or LocalDeploy()
    context = shop.context()
    with context.leases.hold(parsed.model):
        event = deploy_version(shop, context, config, parsed, wanted, say)
    answer(event.model_dump(mode="json"), as_json=as_json, text=str(event))


def reconcile(
    *,
    watch: Annotated[bool, typer.Option("--watch", help="Go on until stopped.")] = False,
    every: Annotated[float, typer.Option(help="Seconds between passes.", min=0.1)] = 5,
    webhook_port: Annotated[int | None, typer.Option(help="Listen for MLflow's webhooks here.", min=0, max=65535)] = None,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Bring what serves in line with what was ratified: retry failed hooks, restart dead endpoints, block the unproven."""
    from pipelines.services.reconciler import keep_reconciling, reconcile_all

    if watch:
        told = (lambda line: answer({"acted": line}, as_json=True)) if as_json else say
        keep_reconciling(workshop(home), every, told, webhook_port)
    done = reconcile_all(workshop(home), say)
    told = {"models": done.models, "aliases": done.aliases, "acted": done.acted}
    answer(told, as_json=as_json, text="\n".join(done.acted) or f"{done.aliases} aliases as they should be")


def add_to(app: typer.Typer) -> None:
    """Add this group's commands."""
    for command in (promote, deploy, reconcile):
        app.command()(command)
