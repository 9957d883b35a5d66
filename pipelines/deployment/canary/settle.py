"""Canaries: a new version gets a share of its stage's traffic first; the reconciler says how it ends.

    promoted → started beside the version that serves → … figures … → good: it is deployed as the stage's endpoint
                                                                    → bad:  the stage goes back to the version before

What was agreed and how it ended are rows of the ledger; the endpoint beside the stage's has its name and `-canary`. A
step that was lost is taken again at the next pass.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines.deployment.targets import LocalDeploy, target_of
from registry.errors import ModelyardError, NotFoundError, RefusedError
from registry.events import CanaryEnded, CanaryStarted, about, now
from registry.promotion.promote import rollback
from registry.promotion.state import Holder, fold
from registry.records import Actor
from registry.reports.endpoints import endpoint_name
from registry.stages import ALIASES, Stage
from serving.canary.rules import CanaryRules, Verdict, judge
from serving.canary.tally import Tally, read_tally
from serving.targets.contract import Splits
from serving.targets.huggingface.config import HuggingFaceDeploy
from serving.targets.runpod.config import RunPodDeploy

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from pipelines.deployment.targets import AnyDeploy
    from pipelines.home import Say, Workshop
    from registry.events import Event, Promoted
    from registry.promotion.context import PromotionContext
    from registry.promotion.due import View
    from registry.protocols import Entry
    from registry.records import ModelVersion
    from serving.bundle.bundle import Bundle
    from serving.targets.contract import LiveEndpoint, Smoke, Target

CANARY = "-canary"
JUDGE = Actor("the canary's figures")


@dataclass(frozen=True)
class Canary:
    """One canary by the ledger: who holds the stage, how it began, and how it ended, if it did."""

    holding: Holder
    started: CanaryStarted
    at: datetime
    ended: CanaryEnded | None

    @property
    def rules(self) -> CanaryRules:
        """What was agreed when it began."""
        return CanaryRules.model_validate(self.started.rules)

    @property
    def name(self) -> str:
        """The stage's endpoint."""
        return endpoint_name(self.started.model, self.started.stage)


def canary_of(entries: Sequence[Entry], stage: Stage) -> Canary | None:
    """The canary of the version that holds a stage, since it came to hold it."""
    holding = fold(entries).holders.get(stage)
    if holding is None:
        return None
    rows = [row for row in entries if row.seq > holding.since and row.flaw is None]
    mine = [row for row in rows if isinstance(row.event, (CanaryStarted, CanaryEnded)) and _is_of(row.event, holding, stage)]
    begun = [(row.event, row.at) for row in mine if isinstance(row.event, CanaryStarted)]
    ended = [row.event for row in mine if isinstance(row.event, CanaryEnded)]
    return Canary(holding, *begun[0], ended[-1] if ended else None) if begun else None


def _is_of(event: CanaryStarted | CanaryEnded, holding: Holder, stage: Stage) -> bool:
    return (event.identity, event.stage) == (holding.identity, stage)


def remove_canary(workshop: Workshop, entries: Sequence[Entry], target: Target, name: str) -> None:
    """End what a canary left beside an endpoint; nothing is asked where there never was one."""
    if not any(
        isinstance(row.event, CanaryStarted) and endpoint_name(row.event.model, row.event.stage) == name for row in entries
    ):
        return
    if isinstance(target, Splits):
        target.split(name, None, 0)
    target.delete(name + CANARY)
    pair_tally(workshop, name).unlink(missing_ok=True)


def is_wanted(config: AnyDeploy, promotion: Promoted, entries: Sequence[Entry], standing: LiveEndpoint | None) -> bool:
    """Whether a version begins as a canary: rules are set, another version answers, and nobody goes back to an older one."""
    if config.canary is None or promotion.again is not None or standing is None or standing.version == promotion.version:
        return False
    known = canary_of(entries, promotion.stage)
    return known is None or known.ended is None


@dataclass(frozen=True)
class Starting:
    """Starting a canary, or bringing back what it needs."""

    workshop: Workshop
    context: PromotionContext
    config: AnyDeploy
    stage: Stage
    say: Say

    def start(self, version: ModelVersion, digest: str, bundle: Bundle, smoke: Smoke, before: LiveEndpoint) -> CanaryStarted:
        """Deploy the bundle beside the stage's endpoint, and share the traffic. Doing it twice changes nothing."""
        rules = self.config.canary
        assert rules is not None  # noqa: S101 `is_wanted` asked
        name, target = endpoint_name(version.model, self.stage), self.workshop.target(self.config)
        beside = self.workshop.target(_small(self.config))
        self.say(f"{name}: starting a canary of {version.ref} beside version {before.version}")
        live = beside.deploy(name + CANARY, bundle, smoke)
        known = canary_of(self.context.ledger.entries(version.model), self.stage)
        event = CanaryStarted(
            **about(version, digest),
            stage=self.stage,
            target=self.config.kind,
            url=live.url,
            bundle=live.bundle,
            against=before.version,
            rules=rules.model_dump(),
            owner=self.config.repository.partition("/")[0] if isinstance(self.config, HuggingFaceDeploy) else "",
        )
        if known is None:
            self.context.ledger.append(event)
        if isinstance(target, Splits):
            target.split(name, live, rules.share)
        return event


def _small(config: AnyDeploy) -> AnyDeploy:
    """The same, for a share of the traffic: one worker at most that is paid only while it works, and any free port."""
    if isinstance(config, LocalDeploy):
        return config.model_copy(update={"port": 0})
    if isinstance(config, RunPodDeploy):
        return config.model_copy(update={"min_workers": 0, "max_workers": 1})
    if isinstance(config, HuggingFaceDeploy):
        return config.model_copy(update={"min_replicas": 0, "max_replicas": 1})
    return config


def is_healthy(workshop: Workshop, config: AnyDeploy, canary: Canary) -> bool:
    """Whether both endpoints of a canary that is on answer, each with as many workers as it was given."""
    pair = ((workshop.target(config), canary.name), (workshop.target(_small(config)), canary.name + CANARY))
    return all((live := target.find(name)) is not None and target.answers(live) for target, name in pair)


def current_verdict(workshop: Workshop, canary: Canary, at: datetime) -> Verdict:
    """The verdict as things stand."""
    hours = (at - canary.at).total_seconds() / 3600
    return judge(canary.rules, _tally(workshop, canary) or Tally(canary.started.bundle), hours)


def _tally(workshop: Workshop, canary: Canary) -> Tally | None:
    """What its target counted; of others, what `modelyard canary front` did."""
    target = target_of(workshop, canary.started)
    found = target.tally(canary.name) if isinstance(target, Splits) else read_tally(pair_tally(workshop, canary.name))
    return found if found and found.bundle == canary.started.bundle else None


def pair_tally(workshop: Workshop, name: str) -> Path:
    """Where the front of a pair of endpoints counts."""
    return workshop.settings.home / "canaries" / f"{name}.tally.json"


def end(workshop: Workshop, context: PromotionContext, canary: Canary, verdict: Verdict, actor: Actor) -> str:
    """Write the end down and bring it about. Good: the stage's hook deploys it next. Bad: the stage goes back."""
    started: Event = canary.started
    event = CanaryEnded(
        **started.subject,
        stage=canary.started.stage,
        outcome="promoted" if verdict.state == "good" else "rolled_back",
        reason=verdict.reason,
        actor=actor.name,
        figures=verdict.figures,
    )
    context.ledger.append(event)
    if event.outcome == "rolled_back":
        go_back(workshop, context, canary)
    return str(event)


def go_back(workshop: Workshop, context: PromotionContext, canary: Canary) -> None:
    """Stop the canary, and return its stage to the version that serves still."""
    started, target = canary.started, target_of(workshop, canary.started)
    remove_canary(workshop, context.ledger.entries(started.model), target, canary.name)
    rollback(context, started.model, started.stage, started.against, JUDGE)


def settle(workshop: Workshop, view: View, context_of: Callable[[str], PromotionContext]) -> list[str]:
    """Judge every canary that is on; take up again what an end began. Sentences of what was done."""
    said = list[str]()
    for model in sorted(view.models()):
        rows = view.rows(model)
        if not any(isinstance(row.event, CanaryStarted) for row in rows):
            continue
        for stage in ALIASES:
            canary = canary_of(rows, stage)
            if canary is None or (canary.ended and canary.ended.outcome == "promoted"):
                continue
            try:
                said += _settle(workshop, context_of(model), canary, now())
            except ModelyardError as error:
                said.append(f"the canary of {model} for {stage} could not be settled: {error}")
    return said


def _settle(workshop: Workshop, context: PromotionContext, canary: Canary, at: datetime) -> list[str]:
    if canary.ended:
        go_back(workshop, context, canary)
        return [f"{canary.started.label}: finished going back from it"]
    verdict = current_verdict(workshop, canary, at)
    return [] if verdict.state == "going" else [end(workshop, context, canary, verdict, JUDGE)]


def active_canary(entries: Sequence[Entry], model: str, stage: Stage) -> Canary:
    """The canary that is on. Raises NotFoundError, or RefusedError where it ended."""
    found = canary_of(entries, stage)
    if found is None:
        remedy = "set `canary` in the job's `deploy`, and promote a version"
        raise NotFoundError(f"{model}@{stage}", "has no canary", remedy)
    if found.ended:
        raise RefusedError(f"{model}@{stage}", f"its canary ended: {found.ended.reason}", "see `modelyard history`")
    return found


def told(canary: Canary, verdict: Verdict) -> dict[str, Any]:
    """For people and machines."""
    started = canary.started
    return {
        "canary": started.label,
        "stage": started.stage,
        "target": started.target,
        "url": started.url,
        "against": started.against,
        "share": canary.rules.share,
        "began": canary.at.isoformat(),
        **verdict.model_dump(mode="json"),
    }
