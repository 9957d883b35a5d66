"""Where the parts of a home are made, once, and given to each other: the one file that knows all of them.

A promotion needs a `PromotionContext` with gates, hooks and measuring; a hook needs its exporter or deployer; a deployer
needs targets, bundles and canaries. Whoever acts (the command line, the reconciler, the demo) asks `assemble` for them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from pipelines.bundles.store import BundleStore
from pipelines.deployment.canary.settle import CanarySettler
from pipelines.deployment.canary.start import Canaries
from pipelines.deployment.deploy import Deployer, DeployHook
from pipelines.deployment.outages import Outages
from pipelines.deployment.quotes import Quoter
from pipelines.deployment.retire import RetireHook, Retirer
from pipelines.deployment.targets import Targets
from pipelines.evaluation.describe import describe_recent
from pipelines.home import Home, Say
from pipelines.job.jobfile import Job
from pipelines.job.policy import job_of
from pipelines.promotion.measure import Measuring
from registry.promotion.context import PromotionContext
from registry.promotion.policy import JudgingPolicy, last_judged_by, policy_entry, policy_of
from registry.protocols import Entry, Gate, Hook
from registry.stages import ALIASES, Stage
from validation.gates.policy import PolicyGate

if TYPE_CHECKING:
    from pipelines.bundles.export import Exporter
    from pipelines.data.catalog import DatasetCatalog
    from pipelines.evaluation.evaluate import Evaluator


@dataclass(frozen=True)
class JudgingJob:
    """A job that versions are judged by: how it relates to the policy that the ledger has, and the model's rows."""

    job: Job | None = None
    policy: JudgingPolicy | None = None
    entries: Sequence[Entry] = ()


@dataclass(frozen=True)
class Parts:
    """The parts of a home around one store and one ledger. `context` has no policy: no gates, no hooks."""

    home: Home
    context: PromotionContext
    targets: Targets
    say: Say

    def describe(self, model: str) -> None:
        """Say in MLflow how the versions stand about which something was decided or done just now."""
        if trouble := describe_recent(self.context.store, self.context.ledger, model):
            self.say(trouble)

    @cached_property
    def datasets(self) -> DatasetCatalog:
        """Its data sets."""
        from pipelines.data.catalog import DatasetCatalog  # brings OpenCV

        return DatasetCatalog(self.home.settings.datasets)

    @cached_property
    def bundles(self) -> BundleStore:
        """Its bundles."""
        return BundleStore(self.home.settings.bundles, self.context.ledger)

    @cached_property
    def evaluator(self) -> Evaluator:
        """What scores versions."""
        from pipelines.evaluation.evaluate import Evaluator  # brings MLflow and the frameworks: seconds

        store, ledger = self.context.store, self.context.ledger
        return Evaluator(store, ledger, self.datasets, self.home.tracker, self.home.settings.tf_python)

    @cached_property
    def exporter(self) -> Exporter:
        """What makes bundles."""
        from pipelines.bundles.export import Exporter

        return Exporter(
            store=self.context.store,
            ledger=self.context.ledger,
            bundles=self.bundles,
            datasets=self.datasets,
            tracker=self.home.tracker,
            folders_in_use=lambda: [live.source for live in self.targets.local().list()],
            settings=self.home.settings,
            say=self.say,
        )

    @cached_property
    def canaries(self) -> Canaries:
        """The endpoints beside stages' endpoints."""
        return canaries_of(self.home, self.say, self.context, self.targets)

    @cached_property
    def settler(self) -> CanarySettler:
        """What ends canaries."""
        return CanarySettler(self.canaries)

    @cached_property
    def outages(self) -> Outages:
        """The accounts that failed lately."""
        return Outages()

    @cached_property
    def deployer(self) -> Deployer:
        """What brings endpoints to their stages' versions."""
        return Deployer(
            self.context.store, self.context.ledger, self.targets, self.bundles, self.canaries, self.say, self.outages
        )

    @cached_property
    def retirer(self) -> Retirer:
        """What deletes endpoints."""
        return Retirer(self.context, self.targets, self.canaries, self.outages)

    def context_for(self, judging: JudgingJob) -> PromotionContext:
        """The context with a job's gates, hooks and measuring; without a job nothing can be ratified."""
        job, policy = judging.job, judging.policy
        archived: dict[Stage, tuple[Hook, ...]] = {Stage.ARCHIVED: (RetireHook(self.retirer),)}
        if job is None:
            return replace(self.context, hooks=archived, policy=policy)
        context = replace(self.context, policy=policy)
        quote = Quoter(self.targets).quote
        measure = Measuring(context.store, context.ledger, job, quote, self.say, lambda: self.evaluator)
        hooks = {stage: self._hooks(job, stage) for stage in ALIASES}
        gates, revert = gates_of(job, judging.entries), job.gates.unproven == "revert"
        return replace(context, gates=gates, hooks=hooks | archived, measure=measure, revert=revert)

    def _hooks(self, job: Job, stage: Stage) -> tuple[Hook, ...]:
        """Staging exports; a stage with a deployment deploys; what no version holds any more is retired."""
        from pipelines.bundles.export import ExportHook

        hooks: list[Hook] = [ExportHook(self.exporter, job)] if stage is Stage.STAGING else []
        if config := job.deploy.of(stage):
            hooks.append(DeployHook(self.deployer, config))
        return (*hooks, RetireHook(self.retirer))


def assemble(home: Home, say: Say, context: PromotionContext | None = None, targets: Targets | None = None) -> Parts:
    """The parts of a home, around its own store and ledger unless others are given."""
    return Parts(home, context or home.context(), targets or Targets(home.settings), say)


def canaries_of(home: Home, say: Say, context: PromotionContext | None = None, targets: Targets | None = None) -> Canaries:
    """The canaries of a home. They need its ledger, leases and targets: no MLflow server is asked."""
    chosen, folder = targets or Targets(home.settings), home.settings.home / "canaries"
    if context is not None:
        return Canaries(context.ledger, chosen, folder, say, context.leases)
    ledger = home.ledger()
    return Canaries(ledger, chosen, folder, say, home.leases(ledger))


def gates_of(job: Job, entries: Sequence[Entry] = ()) -> dict[Stage, tuple[Gate, ...]]:
    """Stage → its gates; with the model's rows, also the gate on the policy that the policy before it had.

    A policy without that gate is itself a change that the gate has to let pass.
    """
    gates: dict[Stage, tuple[Gate, ...]] = {}
    for stage in ALIASES:
        before = last_judged_by(entries, stage)
        kept = policy_gate(before[1].job, stage) if before else None
        own = tuple(job.gates_of(stage))
        gates[stage] = own if kept is None or any(isinstance(gate, PolicyGate) for gate in own) else (*own, kept)
    return gates


def policy_gate(job: Mapping[str, Any], stage: Stage) -> PolicyGate | None:
    """The gate on the policy that a recorded job has for a stage; the rest of the job need not be readable here."""
    gates: Mapping[str, Any] = job.get("gates") or {}
    return next((PolicyGate.model_validate(gate) for gate in gates.get(stage) or () if gate.get("kind") == "policy"), None)


def recorded_policy(entries: Sequence[Entry]) -> JudgingJob:
    """The job in force by a model's rows, and what a decision by it rests on."""
    entry = policy_entry(entries)
    policy = policy_of(entry)
    return JudgingJob(job_of(entry), JudgingPolicy(policy.policy_hash if policy else ""), entries)


def guarded_context(context: PromotionContext, home: Home, entries: Sequence[Entry]) -> PromotionContext:
    """A model's gates inside MLflow's server: no hook runs there, and nothing is measured that runs a model."""
    recorded = recorded_policy(entries)
    job, policy = recorded.job, recorded.policy
    if job is None:
        return replace(context, policy=policy)
    quote = Quoter(Targets(home.settings), asks=False).quote
    measure = Measuring(context.store, context.ledger, job, quote, print)
    return replace(context, gates=gates_of(job, entries), measure=measure, policy=policy)
