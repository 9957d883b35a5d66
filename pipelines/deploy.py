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
from registry.records import ModelVersion
from registry.refs import Ref
from registry.stages import ALIASES, Stage

if TYPE_CHECKING:
    from pipelines.jobfile import LocalDeploy
    from pipelines.wiring import Say, Workshop

_TOLERANCE = 1e-2
"""How far an endpoint's probability may be from the trained model's; the parity gate is stricter."""


def endpoint_name(model: str, stage: Stage) -> str:
    """The deterministic name of a stage's endpoint."""
    return f"{model}-{stage}".replace(" ", "_")


def deploy(workshop: Workshop, yard: Yard, config: LocalDeploy, ref: Ref, stage: Stage, say: Say) -> Deployed:
    """Serve a ratified version's bundle under its stage's name; an endpoint that already does is left alone."""
    version = resolve(yard.store, ref)
    promotion = ratified(yard.ledger.entries(version.model), version, stage)
    digest = digest_version(yard.store, version)
    if promotion is None or promotion.digest != digest:
        remedy = f"run `modelyard promote {version.ref} {stage}`"
        raise RefusedError(version.ref, f"was not ratified for {stage} with these bytes", remedy)
    exported = standing(yard, version, digest)
    if exported is None:
        raise NotFoundError(version.ref, "has no bundle of these bytes", f"run `modelyard export {version.ref}`")
    bundle, price = open_exported(exported), local_price(workshop.settings)
    target, name = workshop.target(config.port), endpoint_name(version.model, stage)
    say(f"{name}: starting the endpoint")
    live = target.deploy(name, bundle, lambda url: smoke_test(url, bundle.folder, config.smoke_images))
    _retire_elsewhere(workshop, version, stage)
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
    if not any(entry.event == event for entry in yard.ledger.entries(version.model)):
        yard.ledger.append(event)
    return event


def smoke_test(url: str, bundle: Path, count: int) -> None:
    """Send held-out frames to an endpoint; raise unless it answers as the trained model did."""
    folder = smoke_folder(bundle)
    told = read_json(folder / "expected.json")
    for image in told["images"][:count]:
        answer = httpx.post(f"{url}/predict", content=(folder / image["file"]).read_bytes(), timeout=30)
        answer.raise_for_status()
        found = answer.json()["probabilities"]
        expected = dict(zip(told["labels"], image["probabilities"], strict=True))
        worst = max(abs(found[label] - expected[label]) for label in expected)
        if not worst <= _TOLERANCE:
            raise IntegrityError(url, f"answers {worst:.3g} away from the trained model", "export the version again")


def _retire_elsewhere(workshop: Workshop, version: ModelVersion, stage: Stage) -> None:
    """A version that moved on no longer serves the stage that it left."""
    target = workshop.target()
    for other in ALIASES:
        live = target.find(endpoint_name(version.model, other))
        if other is not stage and live and live.version == version.version:
            target.delete(live.name)
