"""Deploying a ratified version to the endpoint of its stage."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from pipelines.bundles.export import find_valid, open_exported, smoke_folder
from pipelines.deployment.canary.settle import JUDGE, Starting, canary_of, is_wanted, remove_canary
from pipelines.deployment.targets import target_of
from pipelines.money.budgets import hold_budget
from registry.errors import IntegrityError, NotFoundError, RefusedError
from registry.events import CanaryEnded, Deployed, about
from registry.files import read_json
from registry.money.amounts import round_usd
from registry.promotion.context import PromotionContext
from registry.promotion.state import fold
from registry.promotion.verdict import digest_version, resolve
from registry.records import ModelVersion
from registry.refs import Ref
from registry.reports.endpoints import endpoint_name, last_deployed
from registry.stages import Stage
from serving.targets.contract import Timed
from serving.targets.huggingface.config import HuggingFaceDeploy

if TYPE_CHECKING:
    from pipelines.deployment.targets import AnyDeploy
    from pipelines.home import Say, Workshop
    from registry.events import Promoted
    from registry.protocols import Entry
    from serving.bundle.bundle import Bundle
    from serving.targets.contract import Ask, LiveEndpoint, Target

_TOLERANCE = 1e-2
"""How far an endpoint's probability may be from the trained model's; the parity gate is stricter."""


def deploy(workshop: Workshop, context: PromotionContext, config: AnyDeploy, ref: Ref, stage: Stage, say: Say) -> Deployed:
    """Serve a ratified version's bundle under its stage's name; an endpoint that already does is left alone.

    All of the traffic goes there at once: a canary that is on ends.
    """
    return _Deployment.of(workshop, context, config, ref, stage, say).whole()


def bring(workshop: Workshop, context: PromotionContext, config: AnyDeploy, promotion: Promoted, say: Say) -> None:
    """What follows a promotion: a canary where the job wants one and another version serves, else the whole stage."""
    entries, stage = context.ledger.entries(promotion.model), promotion.stage
    known = canary_of(entries, stage)
    if known and known.ended and known.ended.outcome == "rolled_back":
        return  # the stage is on its way back
    one = _Deployment.of(workshop, context, config, Ref(promotion.model, promotion.version), stage, say)
    before = one.target.find(one.name)
    if not is_wanted(config, promotion, entries, before) or before is None:
        one.whole()
        return
    if not one.target.answers(before):
        if known is None:
            one.whole()  # nothing answers that a canary could stand beside
            return
        before = one.revive(known.started.against)
    one.hold_budget()
    Starting(workshop, context, config, stage, say).start(one.version, one.digest, one.bundle, one.try_out, before)


@dataclass(frozen=True)
class _Deployment:
    """One version on its way to its stage's endpoint."""

    workshop: Workshop
    context: PromotionContext
    config: AnyDeploy
    stage: Stage
    say: Say
    version: ModelVersion
    digest: str
    bundle: Bundle

    @classmethod
    def of(cls, workshop: Workshop, context: PromotionContext, config: AnyDeploy, ref: Ref, stage: Stage, say: Say) -> Self:
        """A version that holds the stage, and its bundle."""
        version = resolve(context.store, ref)
        digest = digest_version(context.store, version)
        _check_holds(context, version, digest, stage)
        return cls(workshop, context, config, stage, say, version, digest, _bundle_of(context, version, digest))

    @property
    def target(self) -> Target:
        """Where."""
        return self.workshop.target(self.config)

    @property
    def name(self) -> str:
        """The stage's endpoint."""
        return endpoint_name(self.version.model, self.stage)

    def try_out(self, ask: Ask) -> None:
        """The last step before the endpoint is flipped: it answers rightly, and is still the one that is wanted."""
        smoke_test(self.name, ask, self.bundle.folder, self.config.smoke_images)
        _check_holds(self.context, self.version, self.digest, self.stage)

    def whole(self) -> Deployed:
        """All of the stage's traffic."""
        self.hold_budget()
        self.say(f"{self.name}: starting the endpoint")
        target, config = self.target, self.config
        quote = target.quote()
        live = target.deploy(self.name, self.bundle, self.try_out)
        cold = target.ready.seconds if isinstance(target, Timed) else None
        event = Deployed(
            **about(self.version, self.digest),
            stage=self.stage,
            target=config.kind,
            url=live.url,
            bundle=live.bundle,
            usd_per_month=round_usd(quote.usd_per_idle_month, 2),
            price_as_of=quote.as_of,
            smoke_images=config.smoke_images,
            cold_start_s=None if cold is None else round(cold, 3),
            owner=config.repository.partition("/")[0] if isinstance(config, HuggingFaceDeploy) else "",
        )
        entries = self.context.ledger.entries(self.version.model)
        self._end_canary(entries)
        before = last_deployed(entries, self.stage)
        if before is not None and (before.target, before.owner) != (event.target, event.owner):
            self.say(f"{self.name}: deleting the endpoint at {before.target} {before.owner}".strip())
            target_of(self.workshop, before).delete(self.name)
        again = event.model_copy(update={"cold_start_s": before.cold_start_s}) if before and cold is None else event
        if before != again:
            self.context.ledger.append(event)
        return event

    def hold_budget(self) -> None:
        """Nothing new where the budget is spent; what served the stage before may be started again."""
        entries = self.context.ledger.entries(self.version.model)
        served = [one.event for one in entries if isinstance(one.event, Deployed) and one.event.stage is self.stage]
        if all(one.bundle != self.bundle.index.digest for one in served):
            hold_budget(self.context.ledger.entries(), self.version.model, self.say)

    def revive(self, against: int) -> LiveEndpoint:
        """Start the version again that a canary stands beside."""
        ratified = fold(self.context.ledger.entries(self.version.model)).ratified
        earlier = next(one for (stage, _), (_, one) in ratified.items() if (stage, one.version) == (self.stage, against))
        version = resolve(self.context.store, Ref(self.version.model, against))
        bundle = _bundle_of(self.context, version, earlier.digest)
        return self.target.deploy(
            self.name, bundle, lambda ask: smoke_test(self.name, ask, bundle.folder, self.config.smoke_images)
        )

    def _end_canary(self, entries: Sequence[Entry]) -> None:
        known = canary_of(entries, self.stage)
        if known and known.ended is None:
            told: dict[str, Any] = {"stage": self.stage, "outcome": "promoted", "figures": {}, "actor": JUDGE.name}
            self.context.ledger.append(CanaryEnded(**known.started.subject, **told, reason="deployed without waiting for it"))
        remove_canary(self.workshop, entries, self.target, self.name)


def _bundle_of(context: PromotionContext, version: ModelVersion, digest: str) -> Bundle:
    exported = find_valid(context, version, digest)
    if exported is None:
        raise NotFoundError(version.ref, "has no bundle of these bytes", f"run `modelyard export {version.ref}`")
    return open_exported(exported)


def _check_holds(context: PromotionContext, version: ModelVersion, digest: str, stage: Stage) -> None:
    """Raise unless the version holds the stage now, by decision and by alias, with the bytes that were ratified."""
    live = fold(context.ledger.entries(version.model)).holders.get(stage)
    decided = live is not None and (live.identity, live.promotion.digest) == (version.identity, digest)
    if not decided or context.store.aliases(version.model).get(stage.value) != version.version:
        remedy = f"run `modelyard promote {version.ref} {stage}`"
        raise RefusedError(version.ref, f"does not hold '{stage}' with bytes that were ratified for it", remedy)


def smoke_test(name: str, ask: Ask, bundle: Path, count: int) -> None:
    """Send held-out frames to an endpoint; raise unless it answers as the trained model did."""
    folder = smoke_folder(bundle)
    told = read_json(folder / "expected.json")
    for image in told["images"][:count]:
        found = ask((folder / image["file"]).read_bytes())
        if found.keys() - set(told["labels"]):
            raise IntegrityError(name, f"answers for other classes ({', '.join(sorted(found))})", "export the version again")
        pairs = zip(told["labels"], image["probabilities"], strict=True)
        apart = [abs(found.get(label, 0.0) - said) for label, said in pairs]  # a detector names what it saw
        if not all(one <= _TOLERANCE for one in apart):  # NaN is not near
            raise IntegrityError(name, f"answers {max(apart):.3g} away from the trained model", "export the version again")
