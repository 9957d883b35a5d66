"""A canary by the ledger: who holds the stage, how it began, and how it ended.

promoted → started beside the version that serves → … figures … → good: it is deployed as the stage's endpoint
                                                                → bad:  the stage goes back to the version before
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from registry.errors import NotFoundError, RefusedError
from registry.events import CanaryEnded, CanaryStarted
from registry.promotion.state import Holder, fold
from registry.protocols import Entry
from registry.records import Actor
from registry.refs import endpoint_name
from registry.stages import Stage
from serving.canary.rules import CanaryRules, Verdict
from serving.canary.tally import HEARTBEAT_S

if TYPE_CHECKING:
    from pipelines.job.deploys import AnyDeploy
    from registry.events import Promoted
    from serving.targets.contract import LiveEndpoint

_FRESH_S = 6 * HEARTBEAT_S

JUDGE = Actor("the canary's figures")
"""Who ends a canary that nobody ended by hand."""


@dataclass(frozen=True)
class Canary:
    """One canary. `ended` is None while it is on."""

    holder: Holder
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
    holder = fold(entries).holders.get(stage)
    if holder is None:
        return None
    rows = [row for row in entries if row.seq > holder.since and row.flaw is None]
    mine = [row for row in rows if isinstance(row.event, (CanaryStarted, CanaryEnded)) and _is_of(row.event, holder, stage)]
    begun = [(row.event, row.at) for row in mine if isinstance(row.event, CanaryStarted)]
    ended = [row.event for row in mine if isinstance(row.event, CanaryEnded)]
    return Canary(holder, *begun[0], ended[0] if ended else None) if begun else None  # what was decided first, counts


def active_canary(entries: Sequence[Entry], model: str, stage: Stage) -> Canary:
    """The canary that is on. Raises NotFoundError, or RefusedError where it ended."""
    canary = canary_of(entries, stage)
    if canary is None:
        remedy = "set `canary` in the job's `deploy`, and promote a version"
        raise NotFoundError(f"{model}@{stage}", "has no canary", remedy)
    if canary.ended:
        raise RefusedError(f"{model}@{stage}", f"its canary ended: {canary.ended.reason}", "see `modelyard history`")
    return canary


def is_wanted(config: AnyDeploy, promotion: Promoted, entries: Sequence[Entry], current: LiveEndpoint | None) -> bool:
    """Whether a version begins as a canary: rules are set, another version answers, and this is not a rollback."""
    if config.canary is None or promotion.again is not None or current is None or current.version == promotion.version:
        return False
    known = canary_of(entries, promotion.stage)
    return known is None or known.ended is None


def as_dict(canary: Canary, verdict: Verdict, counted_until: datetime | None) -> dict[str, Any]:
    """A canary and its verdict for people and machines."""
    started = canary.started
    return {
        "canary": started.label,
        "stage": started.stage,
        "target": started.target,
        "url": started.url,
        "against": started.against,
        "share": canary.rules.share,
        "began": canary.at.isoformat(),
        "counted_until": counted_until.isoformat() if counted_until else None,
        **verdict.model_dump(mode="json"),
    }


def counting_words(counted_until: datetime | None, at: datetime) -> str:
    """Whether the counts are fresh: whoever counts writes them at least every few seconds."""
    if counted_until is None:
        return "nothing was counted yet: does its endpoint run, or `modelyard canary front`?"
    age = (at - counted_until).total_seconds()
    if age <= _FRESH_S:
        return f"counted until {counted_until:%Y-%m-%d %H:%M:%S} UTC"
    remedy = "see whether the endpoint or `modelyard canary front` runs, and its log: a full disk keeps counts from being saved"
    return f"nothing was saved for {age / 60:.0f} minutes; {remedy}"


def _is_of(event: CanaryStarted | CanaryEnded, holder: Holder, stage: Stage) -> bool:
    return (event.identity, event.stage) == (holder.identity, stage)
