"""Canaries as endpoints: started beside their stage's endpoint, checked, brought back and removed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from pipelines.deployment.canary.state import Canary, canary_of
from pipelines.deployment.outages import Account
from pipelines.deployment.targets import Targets, account_at, delete_deployed, handle_of, owner_of
from pipelines.job.deploys import AnyDeploy, LocalDeploy
from registry.errors import RefusedError
from registry.events import CanaryEnded, CanaryStarted, DeployStarted, about
from registry.promotion.context import decision_lease
from registry.protocols import Entry, Leases, Ledger
from registry.records import ModelVersion
from registry.refs import CANARY_SUFFIX, endpoint_name
from registry.stages import Stage
from serving.bundle.bundle import Bundle
from serving.canary.tally import Tally, read_tally
from serving.targets.contract import LiveEndpoint, Smoke, Splits, Target
from serving.targets.huggingface.config import HuggingFaceDeploy
from serving.targets.runpod.config import RunPodDeploy

if TYPE_CHECKING:
    from pipelines.home import Say


class Candidate(NamedTuple):
    """A version on its way to traffic: its bytes, their bundle, and the last check of a new endpoint."""

    version: ModelVersion
    digest: str
    bundle: Bundle
    smoke: Smoke


@dataclass(frozen=True)
class Canaries:
    """The canaries of a home. In the `folder` the proxy of a pair of endpoints counts what was answered."""

    ledger: Ledger
    targets: Targets
    folder: Path
    say: Say
    leases: Leases

    def start(self, config: AnyDeploy, stage: Stage, candidate: Candidate, before: LiveEndpoint) -> CanaryStarted:
        """Deploy a bundle beside the stage's endpoint, and share the traffic. Doing it twice changes nothing."""
        rules, version = config.canary, candidate.version
        assert rules is not None  # noqa: S101 `is_wanted` asked
        name, target = endpoint_name(version.model, stage), self.targets.build(config)
        beside = self.targets.build(_small(config))
        self.say(f"{name}: starting a canary of {version.ref} beside version {before.version}")
        self._record_start(config, stage, candidate)
        live = beside.deploy(name + CANARY_SUFFIX, candidate.bundle, candidate.smoke)
        event = CanaryStarted(
            **about(version, candidate.digest),
            stage=stage,
            target=config.kind,
            url=live.url,
            bundle=live.bundle,
            against=before.version,
            rules=rules.model_dump(),
            owner=owner_of(config),
            handle=handle_of(config, live),
        )
        if canary_of(self.ledger.entries(version.model), stage) is None:
            self.ledger.append(event)
        if isinstance(target, Splits):
            target.split(name, live, rules.share)
        return event

    def _record_start(self, config: AnyDeploy, stage: Stage, candidate: Candidate) -> None:
        """Before a cloud is asked: what a killed command leaves there is known by this row."""
        subject = about(candidate.version, candidate.digest)
        event = DeployStarted(**subject, stage=stage, target=config.kind, owner=owner_of(config), canary=True)
        entries = self.ledger.entries(candidate.version.model)
        if config.kind != "local" and event not in [row.event for row in entries]:
            self.ledger.append(event)

    def end(self, canary: Canary, event: CanaryEnded, leases: Leases | None = None) -> None:
        """Record how a canary ends: once, decided under the model's lease after another look.

        Raises RefusedError where it ended meanwhile, or another version came to hold its stage; and, where `leases` of the
        caller are given that do not wait, BusyError while somebody decides about the model.
        """
        model, stage = canary.started.model, canary.started.stage
        with decision_lease(leases or self.leases, model) as held:
            current = canary_of(self.ledger.entries(model), stage)
            if current is None or (current.holder.since, current.started) != (canary.holder.since, canary.started):
                raise RefusedError(f"{model}@{stage}", "another version came to hold it meanwhile", "see `modelyard history`")
            if current.ended:
                raise RefusedError(f"{model}@{stage}", f"its canary ended: {current.ended.reason}", "see `modelyard history`")
            held.check()
            self.ledger.append(event)

    def remove(self, entries: Sequence[Entry], target: Target, name: str, account: Account) -> None:
        """End what a canary left beside an endpoint at an account; nothing is asked where there never was one."""
        started = [event for row in entries if (event := _started(row)) and endpoint_name(event.model, event.stage) == name]
        events = [event for event in started if account_at(event) == account]
        if not events:
            return
        if isinstance(target, Splits):
            target.split(name, None, 0)
        handles = [event.handle for event in events if event.handle]
        delete_deployed(target, name + CANARY_SUFFIX, handles[-1] if handles else "")
        self.tally_path(name).unlink(missing_ok=True)

    def is_healthy(self, config: AnyDeploy, canary: Canary) -> bool:
        """Whether both endpoints of a canary that is on answer, each with as many workers as it was given."""
        pair = ((self.targets.build(config), canary.name), (self.targets.build(_small(config)), canary.name + CANARY_SUFFIX))
        return all((live := target.find(name)) is not None and target.answers(live) for target, name in pair)

    def tally(self, canary: Canary) -> Tally:
        """What its target counted; of targets that do not share traffic, what the proxy of the pair counted."""
        target, bundle = self.targets.of(canary.started), canary.started.bundle
        tally = target.tally(canary.name) if isinstance(target, Splits) else read_tally(self.tally_path(canary.name))
        return tally if tally and tally.bundle == bundle else Tally(bundle)

    def counted_until(self, canary: Canary) -> datetime | None:
        """When its counts were saved last; None where there are none yet."""
        saved_at = self.tally(canary).saved_at
        return datetime.fromtimestamp(saved_at, UTC) if saved_at else None

    def tally_path(self, name: str) -> Path:
        """Where the proxy of a pair of endpoints counts."""
        return self.folder / f"{name}.tally.json"


def _started(row: Entry) -> CanaryStarted | DeployStarted | None:
    event = row.event
    if not isinstance(event, (CanaryStarted, DeployStarted)) or row.flaw is not None:
        return None
    return event if isinstance(event, CanaryStarted) or event.canary else None


def _small(config: AnyDeploy) -> AnyDeploy:
    """The same, for a share of the traffic: one worker at most that is paid only while it works, and any free port."""
    if isinstance(config, LocalDeploy):
        return config.model_copy(update={"port": 0})
    if isinstance(config, RunPodDeploy):
        return config.model_copy(update={"min_workers": 0, "max_workers": 1})
    if isinstance(config, HuggingFaceDeploy):
        return config.model_copy(update={"min_replicas": 0, "max_replicas": 1})
    return config
