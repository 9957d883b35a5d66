"""`endpoint`, `images` and `clouds`: what is deployed elsewhere, and doubles to try a deployment without an account."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipelines.cli.options import JOB, HomeFolder, JobFile, job, open_home, read_home
from pipelines.cli.output import AsJson, answer, say
from pipelines.cli.training import Reference

if TYPE_CHECKING:
    from pipelines.job.deploys import AnyDeploy
    from serving.targets.contract import Target

endpoint = typer.Typer(help="Ask the provider about a stage's endpoint.", no_args_is_help=True)
clouds = typer.Typer(help="Doubles of RunPod and Hugging Face on this machine.", no_args_is_help=True)


@endpoint.command()
def quote(
    stage: Annotated[str, typer.Argument(metavar="STAGE", help="staging or production.")] = "production",
    *,
    job_file: JobFile = JOB,
    home: HomeFolder = None,
    as_json: AsJson = False,
) -> None:
    """What the job's endpoint of a stage would cost; nothing is made."""
    from pipelines.deployment.quotes import Quoter
    from pipelines.deployment.targets import Targets

    config = _stage_config(job_file, stage)
    price = Quoter(Targets(read_home(home).settings)).quote(config)
    document = price.model_dump(mode="json") | {"usd_per_month_bound": str(price.usd_per_month_bound)}
    answer(document, as_json=as_json, text="\n".join([f"{config.kind}, {price.hardware}: {price.in_words}", *price.notes]))


def _stage_config(job_file: Path, stage: str) -> AnyDeploy:
    """How a job deploys a stage; without that it is a process on this machine, which is said."""
    from pipelines.job.deploys import LocalDeploy
    from registry.stages import check_alias_stage, parse_stage

    config = job(job_file).deploy.of(check_alias_stage(parse_stage(stage)))
    if config is None:
        say(f"{job_file} does not say how {stage} is deployed: this is a process on this machine (kind: local)")
    return config or LocalDeploy()


@endpoint.command()
def plan(
    stage: Annotated[str, typer.Argument(metavar="STAGE", help="staging or production.")] = "production",
    *,
    job_file: JobFile = JOB,
    home: HomeFolder = None,
    as_json: AsJson = False,
) -> None:
    """What deploying a stage by the job would create, change, delete and publish, and what it costs; nothing is done."""
    from pipelines.queries.plans import plan_stage
    from registry.stages import parse_stage

    config = _stage_config(job_file, stage)
    planned = plan_stage(read_home(home), config, job(job_file).model, parse_stage(stage))
    answer(planned.as_dict(), as_json=as_json, text=planned.text)


@endpoint.command()
def check(
    stage: Annotated[str, typer.Argument(metavar="STAGE", help="staging or production.")] = "production",
    *,
    job_file: JobFile = JOB,
    home: HomeFolder = None,
    as_json: AsJson = False,
) -> None:
    """Ask, before money flows: key, rights, balance, quota, stock, price, image, bundle, region. Exits with 1 if one failed."""
    from pipelines.deployment.checks import check_endpoint
    from pipelines.deployment.targets import Targets
    from registry.refs import endpoint_name
    from registry.stages import parse_stage

    config = _stage_config(job_file, stage)
    name = endpoint_name(job(job_file).model, parse_stage(stage))
    checks = check_endpoint(Targets(read_home(home).settings), config, name)
    answer([each.model_dump(mode="json") for each in checks], as_json=as_json, text="\n".join(map(str, checks)))
    if any(each.state == "failed" for each in checks):
        raise typer.Exit(1)


@endpoint.command()
def status(ref: Reference, *, home: HomeFolder = None, as_json: AsJson = False) -> None:
    """How a stage's endpoint is now, without waking it: NAME@production."""
    target, name = _deployed(ref, home)
    live, now = target.find(name), target.status(name)
    document = {"name": name, "endpoint": live.model_dump(mode="json") if live else None, **now.model_dump(mode="json")}
    answer(document, as_json=as_json, text=f"{name}: {now.state} ({now.detail}){f' at {live.url}' if live else ''}")


@endpoint.command()
def logs(
    ref: Reference,
    *,
    lines: Annotated[int, typer.Option(help="How many of the newest.", min=1, max=5000)] = 50,
    home: HomeFolder = None,
    as_json: AsJson = False,
) -> None:
    """The log of a stage's endpoint."""
    target, name = _deployed(ref, home)
    newest = target.logs(name, lines)
    answer(newest, as_json=as_json, text="\n".join(newest) or "the log is empty")


def _deployed(ref: str, home: Path | None) -> tuple[Target, str]:
    """The target that a stage was deployed to last, and the endpoint's name there."""
    from pipelines.deployment.targets import Targets
    from registry.errors import InputError, NotFoundError
    from registry.refs import endpoint_name, parse_ref
    from registry.reports.endpoints import last_deployed
    from registry.stages import ALIASES, Stage

    parsed, opened = parse_ref(ref), read_home(home)
    if parsed.alias not in ALIASES:
        raise InputError(ref, "names no stage's endpoint", "write NAME@staging or NAME@production")
    stage = Stage(str(parsed.alias))
    event = last_deployed(opened.ledger().entries(parsed.model), stage)
    if event is None:
        raise NotFoundError(ref, "was never deployed", "run `modelyard deploy`")
    return Targets(opened.settings).of(event), endpoint_name(parsed.model, stage)


@clouds.command()
def fake(
    *,
    port: Annotated[int, typer.Option(help="The first of two ports; 0 for any free ones.", min=0, max=65534)] = 0,
    speed: Annotated[float, typer.Option(help="Seconds of the clouds' clock in one of ours.", min=0, max=600)] = 10,
    spec: Annotated[Path | None, typer.Option(help="RunPod's OpenAPI document: each request is checked against it.")] = None,
    home: HomeFolder = None,
    as_json: AsJson = False,
) -> None:
    """Run both doubles until Ctrl-C, and show what to set: deployments then work without an account, and cost nothing.

    What is set names a copy of the home, too: nothing that is tried out stays in the real one.
    """
    import time

    from pipelines.services.fake_home import copied_home
    from registry.errors import NotFoundError
    from serving.fakes.both import running

    if spec is not None and not spec.is_file():
        raise NotFoundError(spec, "there is no such file", "leave --spec out, or name RunPod's OpenAPI document")
    settings = open_home(home).settings
    doubles = running(settings.home / "clouds", port, speed, spec)
    with contextlib.suppress(KeyboardInterrupt), copied_home(settings) as copy, doubles as variables:
        variables |= {"MODELYARD_HOME": str(copy)}
        lines = [f"export {name}={value}" for name, value in variables.items()]
        answer(variables, as_json=as_json, text="\n".join([*lines, "# Ctrl-C stops them, and forgets everything"]))
        while True:
            time.sleep(3600)


def images(
    *,
    to: Annotated[str | None, typer.Option(metavar="REGISTRY/OWNER", help="Where yours are, such as ghcr.io/you.")] = None,
    as_json: AsJson = False,
) -> None:
    """The docker commands that build and push the images of this release, to be run in a source checkout.

    Without --to, they go where MODELYARD_IMAGES names.
    """
    from registry.errors import InputError
    from registry.settings import read_settings
    from serving.targets.release_images import IMAGES, docker_lines, image_name

    owner = to or read_settings().images
    if not owner:
        raise InputError("MODELYARD_IMAGES", "is not set, and --to names no registry", "give --to ghcr.io/you, or your own")
    names = {kind: image_name(kind, owner) for kind in IMAGES}
    lines = docker_lines(owner)
    answer({"images": names, "commands": lines}, as_json=as_json, text="\n".join(lines))


def add_to(app: typer.Typer) -> None:
    """Add this group's commands."""
    app.command()(images)
    app.add_typer(endpoint, name="endpoint")
    app.add_typer(clouds, name="clouds")
