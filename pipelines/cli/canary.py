"""`canary`: a new version beside the one that serves."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Annotated

import typer

from pipelines.cli.options import HOST_HELP, HomeFolder, NoKey, read_home
from pipelines.cli.output import AsJson, answer, say
from pipelines.cli.training import Reference

if TYPE_CHECKING:
    from registry.stages import Stage

canary = typer.Typer(help="A new version beside the one that serves: figures, verdict, end.", no_args_is_help=True)


@canary.command()
def status(ref: Reference, *, home: HomeFolder = None, as_json: AsJson = False) -> None:
    """What the canary of a stage has shown until now: NAME@production."""
    from pipelines.deployment.canary.settle import CanarySettler
    from pipelines.deployment.canary.state import active_canary, as_dict, counting_words
    from pipelines.promotion.assemble import canaries_of
    from registry.events import now

    model, stage = _stage_of(ref)
    canaries = canaries_of(read_home(home), say)
    current, at = active_canary(canaries.ledger.entries(model), model, stage), now()
    verdict, counted = CanarySettler(canaries).verdict(current, at), canaries.counted_until(current)
    figures = "\n".join(f"  {name:<20} {value:g}" for name, value in verdict.figures.items())
    text = f"{current.started}\n{verdict.state}: {verdict.reason}\n{figures}\n{counting_words(counted, at)}"
    answer(as_dict(current, verdict, counted), as_json=as_json, text=text)


@canary.command()
def end(
    ref: Reference,
    *,
    promote: Annotated[bool, typer.Option("--promote", help="The new version takes the stage over.")] = False,
    rollback: Annotated[bool, typer.Option("--rollback", help="The stage goes back to the version before.")] = False,
    home: HomeFolder = None,
    as_json: AsJson = False,
) -> None:
    """End a canary by hand, without waiting for its figures."""
    from pipelines.deployment.canary.state import active_canary
    from pipelines.identity import whoami
    from pipelines.promotion.assemble import assemble
    from pipelines.promotion.decide import policy_context
    from pipelines.services.reconciler import reconcile_all
    from registry.errors import InputError
    from registry.events import now

    if promote == rollback:
        raise InputError("canary end", "needs either --promote or --rollback", "choose one")
    model, stage = _stage_of(ref)
    opened = read_home(home)
    parts = assemble(opened, say)
    current = active_canary(parts.context.ledger.entries(model), model, stage)
    by_hand = {"state": "good" if promote else "bad", "reason": "ended by hand"}
    verdict = parts.settler.verdict(current, now()).model_copy(update=by_hand)
    ended = parts.settler.end(policy_context(parts, model), current, verdict, whoami(opened.settings))
    acted = reconcile_all(opened, say).acted if promote else []
    answer({"ended": ended, "acted": acted}, as_json=as_json, text="\n".join([ended, *acted]))


@canary.command()
def front(
    ref: Reference,
    *,
    port: Annotated[int, typer.Option(help="0 for any free one.", min=0, max=65535)] = 8080,
    host: Annotated[str, typer.Option(help=HOST_HELP)] = "127.0.0.1",
    no_key: NoKey = False,
    home: HomeFolder = None,
    as_json: AsJson = False,
) -> None:
    """Share a stage's traffic between a provider's two endpoints until Ctrl-C. On this machine the endpoint does it itself."""
    from pipelines.deployment.canary.proxy import proxy_of
    from pipelines.promotion.assemble import canaries_of
    from serving.server.exposure import api_key, keyed
    from serving.server.options import listen
    from serving.targets.canary_proxy import serve_proxy

    model, stage = _stage_of(ref)
    opened = read_home(home)
    secret = opened.settings.api_key
    key = api_key(secret.get_secret_value() if secret else None)
    with listen(host, port, keyed(key, no_key=no_key)) as listening, contextlib.suppress(KeyboardInterrupt):
        proxy, limits = proxy_of(canaries_of(opened, say), model, stage, key)
        url = f"http://{host}:{listening.getsockname()[1]}"
        answer({"url": url}, as_json=as_json, text=f"{model}@{stage} answers at {url}/predict; Ctrl-C stops it")
        serve_proxy(proxy, listening, limits)


def _stage_of(ref: str) -> tuple[str, Stage]:
    """A model and its stage."""
    from registry.errors import InputError
    from registry.refs import parse_ref
    from registry.stages import ALIASES, Stage

    parsed = parse_ref(ref)
    if parsed.alias not in ALIASES:
        raise InputError(ref, "names no stage", "write NAME@staging or NAME@production")
    return parsed.model, Stage(str(parsed.alias))


def add_to(app: typer.Typer) -> None:
    """Add this group's commands."""
    app.add_typer(canary, name="canary")
