"""`promote`, `deploy` and `reconcile`: from a version to a stage and its endpoint."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from pipelines.cli.options import JOB, HomeFolder, JobFile, Policy, job, open_home, policy_of
from pipelines.cli.output import AsJson, answer, say, table
from pipelines.cli.training import Reference

if TYPE_CHECKING:
    from registry.promotion.context import Outcome
    from registry.records import Finding

StageName = Annotated[str, typer.Argument(metavar="STAGE", help="staging, production or archived.")]


def promote(
    ref: Reference, stage: StageName, *, job_file: Policy = None, home: HomeFolder = None, as_json: AsJson = False
) -> None:
    """Judge a version by the stage's gates; if it passes, move the alias and run the stage's hooks."""
    from pipelines.promotion.decide import promote as promote_version
    from registry.refs import parse_ref
    from registry.stages import parse_stage

    parsed, wanted = parse_ref(ref), parse_stage(stage)
    policy = policy_of(parsed.model, job_file)
    outcome = promote_version(open_home(home), parsed, wanted, policy, say)
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
    table("gates", ["", "gate", "finding"], [("✓" if f.passed else "✗", f.gate, f.text) for f in findings])


def deploy(
    ref: Reference,
    *,
    stage: Annotated[str, typer.Option(help="Which stage's endpoint.")] = "production",
    job_file: JobFile = JOB,
    home: HomeFolder = None,
    as_json: AsJson = False,
) -> None:
    """Serve a version that was ratified for a stage; promotion does this by itself."""
    from pipelines.job.deploys import LocalDeploy
    from pipelines.promotion.assemble import assemble
    from registry.refs import parse_ref
    from registry.stages import parse_stage

    parsed, wanted = parse_ref(ref), parse_stage(stage)
    config = job(job_file).deploy.of(wanted) or LocalDeploy()
    parts = assemble(open_home(home), say)
    with parts.context.leases.hold(parsed.model):
        event = parts.deployer.deploy(config, parsed, wanted)
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
