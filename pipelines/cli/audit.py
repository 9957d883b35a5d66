"""`gates`, `approve`, `rollback`, `history`, `verify`, `diff` and `ledger`: why a version may serve, and who said so."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pipelines.cli import ledger
from pipelines.cli.options import HomeFolder, Policy, chosen_job, open_home, read_home
from pipelines.cli.output import AsJson, answer, say, table
from pipelines.cli.promotion import StageName, show_findings, show_outcome
from pipelines.cli.training import Reference

ModelName = Annotated[str, typer.Argument(metavar="NAME", help="The model.")]
StageOption = Annotated[str, typer.Option(help="staging or production.")]
PublicKey = Annotated[Path | None, typer.Option(help="Trust this key alone, not the home's.  [default: the home's]")]


def gates(
    ref: Reference, stage: StageName, *, job_file: Policy = None, home: HomeFolder = None, as_json: AsJson = False
) -> None:
    """Show what each gate of a stage says of a version, without promoting it; exit 1 where one says no."""
    from pipelines.promotion.decide import gates as judge
    from registry.refs import parse_ref
    from registry.stages import parse_stage

    parsed, wanted = parse_ref(ref), parse_stage(stage)
    verdict = judge(read_home(home), parsed, wanted, chosen_job(parsed.model, job_file), say)
    findings = [finding.model_dump() for finding in verdict.findings]
    document = {"ref": str(verdict.version.ref), "stage": wanted, "passed": verdict.passed, "findings": findings}
    advice = verdict.advice
    document["advice"] = advice.model_dump() if advice else None
    answer(document | {"digest": verdict.digest, "policy_hash": verdict.proof.policy_hash}, as_json=as_json)
    if not as_json:
        show_findings(verdict.findings)
        print(f"{verdict.version.ref} {'may' if verdict.passed else 'may not'} hold '{wanted}'")
        if advice:
            print(f"what would help most: {advice.text}")
    if not verdict.passed:
        raise typer.Exit(1)


def approve(
    ref: Reference,
    *,
    stage: StageOption = "production",
    name: Annotated[str | None, typer.Option("--as", help="Who you are.  [default: your account]")] = None,
    home: HomeFolder = None,
    as_json: AsJson = False,
) -> None:
    """Approve exactly these bytes for a stage, as a person other than the author."""
    from pipelines.promotion.decide import approve as approve_version
    from registry.refs import parse_ref
    from registry.stages import parse_stage

    event = approve_version(open_home(home), parse_ref(ref), parse_stage(stage), name)
    answer(event.model_dump(mode="json"), as_json=as_json, text=str(event))
    if not event.proven:
        say("the name is self-declared and unverified: the MLflow server has no logins")


def rollback(
    model: ModelName,
    *,
    stage: StageOption = "production",
    to: Annotated[int | None, typer.Option(help="Which version.  [default: further back]", min=1)] = None,
    home: HomeFolder = None,
    as_json: AsJson = False,
) -> None:
    """Go back further among the versions that served a stage and were not rolled back from; nothing is judged again."""
    from pipelines.promotion.decide import rollback as roll_back
    from registry.refs import check_model_name
    from registry.stages import parse_stage

    outcome = roll_back(open_home(home), check_model_name(model), parse_stage(stage), to, say)
    show_outcome(outcome, as_json=as_json)


def history(model: ModelName, *, home: HomeFolder = None, as_json: AsJson = False) -> None:
    """Who decided what about a model, when, and on what evidence."""
    from registry.refs import check_model_name
    from registry.reports.history import history as read_history

    name = check_model_name(model)
    moments = read_history(read_home(home).ledger().entries(name), name)
    answer([moment.model_dump(mode="json") for moment in moments], as_json=as_json)
    if not as_json:
        rows = [(m.row, m.at.isoformat(" ", "seconds")[:19], m.who, m.what, m.ref, m.was, m.evidence, m.text) for m in moments]
        table(f"history of {model}", ["row", "when (UTC)", "who", "what", "version", "from", "evidence", "outcome"], rows)
        say("self-declared names are unverified: the MLflow server has no logins")


def verify(
    ref: Annotated[str | None, typer.Argument(metavar="[REF]", help="NAME/VERSION or NAME@ALIAS.")] = None,
    *,
    files: Annotated[Path | None, typer.Option(help="The version's files.  [default: fetched from MLflow]")] = None,
    evidence: Annotated[Path | None, typer.Option(help="Check an evidence.json instead; needs --public-key.")] = None,
    public_key: PublicKey = None,
    home: HomeFolder = None,
    as_json: AsJson = False,
) -> None:
    """Check a version's bytes against what was ratified, from the ledger and a public key; name what differs first."""
    from pipelines.promotion.verify import verify as verify_version
    from pipelines.promotion.verify import verify_evidence
    from registry.errors import InputError
    from registry.refs import parse_ref

    if evidence is not None:
        if public_key is None or ref is not None:
            raise InputError("--evidence", "needs --public-key, and no REF", "see `modelyard ledger key`")
        entry = verify_evidence(evidence, public_key)
        answer(
            {"row": entry.seq, "event": entry.event.model_dump(mode="json")}, as_json=as_json, text=f"verified: {entry.event}"
        )
        return
    if ref is None:
        raise InputError("REF", "is missing", "name a version, such as hand/3")
    opened = read_home(home)
    v = verify_version(opened.settings, opened.store, parse_ref(ref), files, public_key)
    text = f"{v.ref} is what was ratified for {v.stage}: {v.files} files, ledger row {v.row} of {v.rows}"
    answer(v.model_dump(), as_json=as_json, text=f"{text}, signed by key {v.signer}")


def diff(
    a: Annotated[str, typer.Argument(metavar="A", help="NAME/VERSION or NAME@ALIAS.")],
    b: Annotated[str, typer.Argument(metavar="B", help="NAME/VERSION or NAME@ALIAS.")],
    *,
    home: HomeFolder = None,
    as_json: AsJson = False,
) -> None:
    """Compare two versions: scores with intervals, data, parameters, sizes, cost; on common images where test sets differ."""
    from pipelines.data.kept import KeptDatasets
    from pipelines.queries.diff import diff as compare
    from registry.refs import parse_ref

    opened = read_home(home)
    context, datasets = opened.context(), KeptDatasets(opened.settings.datasets)
    lines = compare(context.store, context.ledger, opened.params, datasets, (parse_ref(a), parse_ref(b)))
    answer([line.model_dump() for line in lines], as_json=as_json)
    if not as_json:
        for line in lines:
            answer(None, as_json=False, text=line.text or None)
        table(f"{a} and {b}", ["", "what", a, b], [("" if line.same else "≠", line.what, line.a, line.b) for line in lines])


def add_to(app: typer.Typer) -> None:
    """Add this group's commands."""
    for command in (gates, approve, rollback, history, verify, diff):
        app.command()(command)
    ledger.add_to(app)
