"""Deploying a ratified version to the endpoint of its stage."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import httpx

from pipelines.export import open_exported, smoke_folder, standing
from registry.errors import IntegrityError, NotFoundError, RefusedError
from registry.events import Deployed, about
from registry.files import read_json
from registry.money.billing import dollars, monthly
from registry.money.prices import local_price
from registry.promotion import Yard, digest_version, resolve
from registry.reconciler import ratified
from registry.refs import Ref
from registry.stages import ALIASES, Stage

if TYPE_CHECKING:
    from pipelines.jobfile import LocalDeploy
    from pipelines.wiring import Say, Workshop

_TOLERANCE = 1e-2
"""How far an endpoint's probability may be from the trained model's; the parity gate is stricter."""


def endpoint_name(model: str, stage: Stage) -> str:
    """The deterministic name of a stage's endpoint."""
    return f"{model}-{stage}".replace(" ", "%20")


def deploy(workshop: Workshop, yard: Yard, config: LocalDeploy, ref: Ref, stage: Stage, say: Say) -> Deployed:
    """Serve a ratified version's bundle under its stage's name; an endpoint that already does is left alone."""
    version = resolve(yard.store, ref)
    promotion = ratified(yard.ledger.entries(version.model), version, stage)
    digest = digest_version(yard.store, version)
    holder = yard.store.aliases(version.model).get(stage.value)
    if promotion is None or promotion.digest != digest or holder != version.version:
        remedy = f"run `modelyard promote {version.ref} {stage}`"
        raise RefusedError(version.ref, f"does not hold '{stage}' with bytes that were ratified for it", remedy)
    exported = standing(yard, version, digest)
    if exported is None:
        raise NotFoundError(version.ref, "has no bundle of these bytes", f"run `modelyard export {version.ref}`")
    bundle, price = open_exported(exported), local_price(workshop.settings)
    target, name = workshop.target(config.port), endpoint_name(version.model, stage)
    say(f"{name}: starting the endpoint")
    live = target.deploy(name, bundle, lambda url: smoke_test(url, bundle.folder, config.smoke_images))
    event = Deployed(
        **about(version, digest),
        stage=stage,
        target="local",
        url=live.url,
        bundle=live.bundle,
        usd_per_month=dollars(monthly(price), 2),
        price_as_of=price.as_of.isoformat(),
        smoke_images=config.smoke_images,
    )
    deployed = [one.event for one in yard.ledger.entries(version.model) if isinstance(one.event, Deployed)]
    if [one for one in deployed if one.stage is stage][-1:] != [event]:
        yard.ledger.append(event)
    return event


def smoke_test(url: str, bundle: Path, count: int) -> None:
    """Send held-out frames to an endpoint; raise unless it answers as the trained model did."""
    folder = smoke_folder(bundle)
    told = read_json(folder / "expected.json")
    for image in told["images"][:count]:
        try:
            answer = httpx.post(f"{url}/predict", content=(folder / image["file"]).read_bytes(), timeout=30)
            found = answer.raise_for_status().json()["probabilities"]
            worst = max(abs(found[label] - said) for label, said in zip(told["labels"], image["probabilities"], strict=True))
        except (httpx.HTTPError, ValueError, KeyError, TypeError) as error:
            raise IntegrityError(
                url, f"does not answer as it must ({type(error).__name__})", "see the endpoint's log"
            ) from error
        if not worst <= _TOLERANCE:
            raise IntegrityError(url, f"answers {worst:.3g} away from the trained model", "export the version again")


def retire_unheld(workshop: Workshop, yard: Yard) -> list[str]:
    """Stop the endpoints of stages that no version holds any more; return their names.

    An endpoint whose stage another version took over keeps answering until that version's own deployment replaces it.
    """
    target, retired = workshop.target(), list[str]()
    for live in target.list():
        with yard.leases.hold(live.model):
            try:
                held = yard.store.aliases(live.model)
            except NotFoundError:
                held = {}
            if not any(live.name == endpoint_name(live.model, stage) and stage.value in held for stage in ALIASES):
                target.delete(live.name)
                retired.append(live.name)
    return retired
