"""Deploying a ratified version to the endpoint of its stage."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from pipelines.endpoints import endpoint_name, last_deployed, target_of
from pipelines.export import open_exported, smoke_folder, standing
from registry.errors import IntegrityError, NotFoundError, RefusedError
from registry.events import Deployed, about
from registry.files import read_json
from registry.judging import digest_version, resolve
from registry.money.billing import dollars
from registry.records import ModelVersion
from registry.refs import Ref
from registry.stages import ALIASES, Stage
from registry.standing import Standing, fold
from registry.yard import Yard
from serving.targets.huggingface.config import HuggingFaceDeploy

if TYPE_CHECKING:
    from pipelines.targets import AnyDeploy
    from pipelines.wiring import Say, Workshop
    from serving.targets.contract import Ask

_TOLERANCE = 1e-2
"""How far an endpoint's probability may be from the trained model's; the parity gate is stricter."""


def deploy(workshop: Workshop, yard: Yard, config: AnyDeploy, ref: Ref, stage: Stage, say: Say) -> Deployed:
    """Serve a ratified version's bundle under its stage's name; an endpoint that already does is left alone."""
    version = resolve(yard.store, ref)
    digest = digest_version(yard.store, version)
    _check_holds(yard, version, digest, stage)
    exported = standing(yard, version, digest)
    if exported is None:
        raise NotFoundError(version.ref, "has no bundle of these bytes", f"run `modelyard export {version.ref}`")
    bundle, target, name = open_exported(exported), workshop.target(config), endpoint_name(version.model, stage)
    say(f"{name}: starting the endpoint")

    def try_out(ask: Ask) -> None:
        """The last step before the endpoint is flipped: it answers rightly, and is still the one that is wanted."""
        smoke_test(name, ask, bundle.folder, config.smoke_images)
        _check_holds(yard, version, digest, stage)

    quote = target.quote()
    live = target.deploy(name, bundle, try_out)
    event = Deployed(
        **about(version, digest),
        stage=stage,
        target=config.kind,
        url=live.url,
        bundle=live.bundle,
        usd_per_month=dollars(quote.usd_per_idle_month, 2),
        price_as_of=quote.as_of,
        smoke_images=config.smoke_images,
        owner=config.repository.partition("/")[0] if isinstance(config, HuggingFaceDeploy) else "",
    )
    before = last_deployed(yard.ledger.entries(version.model), stage)
    if before is not None and before.target != config.kind:
        say(f"{name}: deleting the endpoint at {before.target}")
        target_of(workshop, before).delete(name)
    if before != event:
        yard.ledger.append(event)
    return event


def _check_holds(yard: Yard, version: ModelVersion, digest: str, stage: Stage) -> None:
    """Raise unless the version holds the stage now, by decision and by alias, with the bytes that were ratified."""
    live = fold(yard.ledger.entries(version.model)).live.get(stage)
    decided = live is not None and (live.identity, live.promotion.digest) == (version.identity, digest)
    if not decided or yard.store.aliases(version.model).get(stage.value) != version.version:
        remedy = f"run `modelyard promote {version.ref} {stage}`"
        raise RefusedError(version.ref, f"does not hold '{stage}' with bytes that were ratified for it", remedy)


def smoke_test(name: str, ask: Ask, bundle: Path, count: int) -> None:
    """Send held-out frames to an endpoint; raise unless it answers as the trained model did."""
    folder = smoke_folder(bundle)
    told = read_json(folder / "expected.json")
    for image in told["images"][:count]:
        found = ask((folder / image["file"]).read_bytes())
        if found.keys() != set(told["labels"]):
            raise IntegrityError(name, f"answers for other classes ({', '.join(sorted(found))})", "export the version again")
        pairs = zip(told["labels"], image["probabilities"], strict=True)
        apart = [abs(found[label] - said) for label, said in pairs]
        if not all(one <= _TOLERANCE for one in apart):  # NaN is not near
            raise IntegrityError(name, f"answers {max(apart):.3g} away from the trained model", "export the version again")


def retire_unheld(workshop: Workshop, yard: Yard, standing_of: Callable[[str], Standing]) -> list[str]:
    """Stop the endpoints on this machine of stages that no version holds any more by decision; return their names.

    An endpoint whose stage another version took over keeps answering until that version's own deployment replaces it,
    and so does one whose version was lost.
    """
    target, retired = workshop.target(), list[str]()
    for live in target.list():
        if live.name not in {endpoint_name(live.model, stage) for stage in ALIASES}:
            continue  # somebody deployed it by another name, with MLflow's commands
        if any(live.name == endpoint_name(live.model, stage) for stage in standing_of(live.model).live):
            continue
        with yard.working(live.model):
            held = fold(yard.ledger.entries(live.model)).live
            if not any(live.name == endpoint_name(live.model, stage) for stage in held):
                target.delete(live.name)
                retired.append(live.name)
    return retired
