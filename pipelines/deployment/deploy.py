"""Deploying a ratified version to the endpoint of its stage."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

from pipelines.bundles.store import BundleStore, open_exported
from pipelines.deployment.canary.start import Canaries, Candidate
from pipelines.deployment.canary.state import JUDGE, Canary, canary_of, is_wanted
from pipelines.deployment.health import HealthWatch, is_stopped, serves
from pipelines.deployment.keys import missing_key
from pipelines.deployment.outages import Account, Outages
from pipelines.deployment.smoke import smoke_test
from pipelines.deployment.starting import deleted, is_among, start
from pipelines.deployment.targets import Targets, account_at, account_of, elsewhere
from pipelines.money.budgets import hold_budget
from registry.errors import MissingKeyError, NotFoundError, RefusedError
from registry.events import CanaryEnded, Deployed, Promoted
from registry.promotion.state import fold, sound
from registry.promotion.verdict import digest_version, resolve
from registry.protocols import Entry, Ledger, Store
from registry.records import ModelVersion
from registry.refs import Ref, endpoint_name
from registry.reports.endpoints import Begun, existing_deployments, last_deployed
from registry.stages import Stage
from serving.bundle.bundle import Bundle
from serving.targets.contract import Ask, LiveEndpoint, Recorded, Target

if TYPE_CHECKING:
    from pipelines.deployment.plan import DeployPlan
    from pipelines.home import Say
    from pipelines.job.deploys import AnyDeploy
    from registry.promotion.context import PromotionContext

_ASK_AGAIN_S = 60.0
"""A cloud is asked once a minute whether an endpoint is healthy; this machine, at each pass."""

_Checked = tuple[str, str, str, str]


@dataclass(frozen=True)
class Deployer:
    """Brings stages' endpoints to the versions that hold the stages."""

    store: Store
    ledger: Ledger
    targets: Targets
    bundles: BundleStore
    canaries: Canaries
    say: Say
    outages: Outages = field(default_factory=Outages)
    watch: HealthWatch = field(default_factory=HealthWatch)
    healthy_at: dict[_Checked, float] = field(default_factory=dict[_Checked, float])

    def deploy(self, config: AnyDeploy, ref: Ref, stage: Stage) -> Deployed:
        """Serve a ratified version's bundle under its stage's name; an endpoint that already does is left alone.

        All of the traffic goes there at once: a canary that is on ends.
        """
        return _Deployment.of(self, config, ref, stage).deploy()

    def plan(self, config: AnyDeploy, ref: Ref, stage: Stage) -> DeployPlan:
        """What `deploy` would do. Raises what it would for a version that does not hold the stage."""
        from pipelines.deployment.plan import Planner

        bundle = _Deployment.of(self, config, ref, stage).bundle
        return Planner(self.targets, config, ref.model, stage, self.ledger.entries(ref.model), bundle).plan()

    def roll_out(self, config: AnyDeploy, promotion: Promoted) -> None:
        """What follows a promotion: a canary where the job wants one and another version serves, else all of the traffic.

        Raises WaitingError while the account that serves it is not asked.
        """
        with self.outages.asking(account_of(config)):
            self._roll_out(config, promotion)

    def _roll_out(self, config: AnyDeploy, promotion: Promoted) -> None:
        entries, stage = self.ledger.entries(promotion.model), promotion.stage
        known = canary_of(entries, stage)
        if known and known.ended and known.ended.outcome == "rolled_back":
            return  # the stage is on its way back
        deployment = _Deployment.of(self, config, Ref(promotion.model, promotion.version), stage)
        before = deployment.target.find(deployment.name)
        if not is_wanted(config, promotion, entries, before) or before is None:
            deployment.deploy()
            return
        if not serves(deployment.target, before):
            if known is None:
                deployment.deploy()  # nothing answers that a canary could run beside
                return
            before = deployment.revive(known.started.against)
        deployment.hold_budget()
        self.canaries.start(config, stage, deployment.candidate, before)

    def is_running(self, config: AnyDeploy, promotion: Promoted) -> bool:
        """Whether the endpoint that was deployed still answers for this version, and its canary where one is on."""
        name = endpoint_name(promotion.model, promotion.stage)
        canary = canary_of(self.ledger.entries(promotion.model), promotion.stage) if config.canary else None
        traffic = "all" if canary is None else canary.ended.outcome if canary.ended else "canary"
        local, key = config.kind == "local", (config.kind, name, promotion.digest, traffic)
        if not local and time.monotonic() - self.healthy_at.get(key, -_ASK_AGAIN_S) < _ASK_AGAIN_S:
            return True
        if traffic == "rolled_back" or is_stopped(config, promotion, self.ledger):
            return True  # there is nothing to run: the stage goes back, or its month cost as much as it may
        if traffic == "all" and self.deletable_elsewhere(self.ledger.entries(promotion.model), promotion.stage, config):
            return False  # it moves, or a command was killed while it moved
        with self.outages.asking(account_of(config)):
            if healthy := self._answers(config, promotion, canary if traffic == "canary" else None):
                self.healthy_at[key] = time.monotonic()
        return healthy

    def deletable_elsewhere(self, entries: Sequence[Entry], stage: Stage, config: AnyDeploy) -> list[Begun]:
        """What may exist of a stage's endpoint at other accounts, of those whose key is here."""
        others = elsewhere(entries, stage, account_of(config))
        return [event for event in others if self.targets.missing_key(account_at(event)) is None]

    def _answers(self, config: AnyDeploy, promotion: Promoted, canary: Canary | None) -> bool:
        if canary:
            return self.canaries.is_healthy(config, canary)
        target, name = self.targets.build(config), endpoint_name(promotion.model, promotion.stage)
        if isinstance(target, Recorded) and not target.is_recorded(name):
            return False  # it may answer still: then deploying writes no more than the record
        live = target.find(name)
        if live is None or (live.model, live.version) != (promotion.model, promotion.version):
            return False
        return not self.watch.is_broken(config.kind, target, live)


@dataclass(frozen=True)
class DeployHook:
    """Makes sure that the stage's endpoint answers for the promoted version, and for no other."""

    deployer: Deployer
    config: AnyDeploy
    name: str = "deploy"

    def missing_key(self, promotion: Promoted, entries: Sequence[Entry]) -> MissingKeyError | None:
        """The key that is not set here, of the place to deploy to or of the one to leave."""
        return missing_key(self.deployer.targets, account_of(self.config), promotion.stage, entries)

    def run(self, promotion: Promoted) -> None:
        """Deploy, smoke-test, flip, or begin as a canary; or find that it was done."""
        self.deployer.roll_out(self.config, promotion)

    def healthy(self, promotion: Promoted) -> bool:
        """Whether the endpoint that was deployed still answers for this version."""
        return self.deployer.is_running(self.config, promotion)


def accounts_of(context: PromotionContext) -> tuple[Account, ...]:
    """The accounts that serve a model's stages, by its hooks."""
    hooks = [hook for hooks in context.hooks.values() for hook in hooks if isinstance(hook, DeployHook)]
    return tuple(sorted({account_of(hook.config) for hook in hooks}))


@dataclass(frozen=True)
class _Deployment:
    """One version on its way to its stage's endpoint."""

    deployer: Deployer
    config: AnyDeploy
    stage: Stage
    version: ModelVersion
    digest: str
    bundle: Bundle

    @classmethod
    def of(cls, deployer: Deployer, config: AnyDeploy, ref: Ref, stage: Stage) -> Self:
        """A version that holds the stage, and its bundle."""
        version = resolve(deployer.store, ref)
        digest = digest_version(deployer.store, version)
        _check_holds(deployer, version, digest, stage)
        return cls(deployer, config, stage, version, digest, _bundle_of(deployer.bundles, version, digest))

    @property
    def target(self) -> Target:
        """Where."""
        return self.deployer.targets.build(self.config)

    @property
    def name(self) -> str:
        """The stage's endpoint."""
        return endpoint_name(self.version.model, self.stage)

    @property
    def endpoint(self) -> str:
        """Its name is its stage's."""
        return ""

    @property
    def candidate(self) -> Candidate:
        """The same, for a canary."""
        return Candidate(self.version, self.digest, self.bundle, self.try_out)

    def try_out(self, ask: Ask) -> None:
        """The last step before the endpoint is flipped: it answers rightly, and is still the one that is wanted."""
        smoke_test(self.name, ask, self.bundle.folder, self.config.smoke_images)
        _check_holds(self.deployer, self.version, self.digest, self.stage)

    def deploy(self) -> Deployed:
        """All of the stage's traffic."""
        say, ledger = self.deployer.say, self.deployer.ledger
        if error := missing_key(self.deployer.targets, account_of(self.config), self.stage, ledger.entries(self.version.model)):
            raise error  # before anything is started that would be paid for beside what cannot be deleted
        self.hold_budget()
        say(f"{self.name}: starting the endpoint")
        target = self.target
        _, event = start(self, target, target.quote(), self.try_out, ledger, say)
        entries = ledger.entries(self.version.model)
        self._end_canary(entries, target)
        others = self.deployer.deletable_elsewhere(entries, self.stage, self.config)
        for other in others:
            say(f"{self.name}: deleting the endpoint at {other.target} {other.owner}".strip())
            self.deployer.canaries.remove(entries, self.deployer.targets.delete(other, self.name), self.name, account_at(other))
            ledger.append(deleted(other, f"it is at {self.config.kind} now"))
        if others or not _is_recorded(event, last_deployed(entries, self.stage), entries):
            ledger.append(event)
        return event

    def hold_budget(self) -> None:
        """Nothing new where the budget is spent; what served the stage before may be started again."""
        ledger = self.deployer.ledger
        rows = [row.event for row in sound(ledger.entries(self.version.model), Deployed)]
        served = [event for event in rows if isinstance(event, Deployed) and event.stage is self.stage]
        if all(event.bundle != self.bundle.index.digest for event in served):
            hold_budget(ledger.entries(), self.version.model, self.deployer.say)

    def revive(self, against: int) -> LiveEndpoint:
        """Start the version again that a canary runs beside."""
        deployer = self.deployer
        ratified = fold(deployer.ledger.entries(self.version.model)).ratified
        earlier = next(event for (stage, _), (_, event) in ratified.items() if (stage, event.version) == (self.stage, against))
        version = resolve(deployer.store, Ref(self.version.model, against))
        bundle = _bundle_of(deployer.bundles, version, earlier.digest)
        images = self.config.smoke_images
        return self.target.deploy(self.name, bundle, lambda ask: smoke_test(self.name, ask, bundle.folder, images))

    def _end_canary(self, entries: Sequence[Entry], target: Target) -> None:
        known = canary_of(entries, self.stage)
        if known and known.ended is None:
            fields: dict[str, Any] = {"stage": self.stage, "outcome": "promoted", "figures": {}, "actor": JUDGE.name}
            reason = "deployed without waiting for it"
            try:
                self.deployer.canaries.end(known, CanaryEnded(**known.started.subject, **fields, reason=reason))
            except RefusedError:  # somebody else ended it first: with the same verdict, that is what was wanted
                now = canary_of(self.deployer.ledger.entries(self.version.model), self.stage)
                if now is None or now.ended is None or now.ended.outcome != "promoted":
                    raise
        self.deployer.canaries.remove(entries, target, self.name, account_of(self.config))


def _is_recorded(event: Deployed, before: Deployed | None, entries: Sequence[Entry]) -> bool:
    """Whether the ledger says already that this endpoint exists."""
    return before is not None and before in existing_deployments(entries) and is_among(event, [before])


def _bundle_of(bundles: BundleStore, version: ModelVersion, digest: str) -> Bundle:
    exported = bundles.find_valid(version, digest)
    if exported is None:
        raise NotFoundError(version.ref, "has no bundle of these bytes", f"run `modelyard export {version.ref}`")
    return open_exported(exported)


def _check_holds(deployer: Deployer, version: ModelVersion, digest: str, stage: Stage) -> None:
    """Raise unless the version holds the stage now, by decision and by alias, with the bytes that were ratified."""
    holder = fold(deployer.ledger.entries(version.model)).holders.get(stage)
    decided = holder is not None and (holder.identity, holder.promotion.digest) == (version.identity, digest)
    if not decided or deployer.store.aliases(version.model).get(stage.value) != version.version:
        remedy = f"run `modelyard promote {version.ref} {stage}`"
        raise RefusedError(version.ref, f"does not hold '{stage}' with bytes that were ratified for it", remedy)
