"""What waits, why, and until when: hooks that failed, and accounts at providers that the reconciler does not ask now."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

from pipelines.deployment.outages import Account, Outage
from pipelines.deployment.targets import account_at, account_of
from pipelines.job.policy import current_policy
from registry.backoff import until, wait_is_over
from registry.errors import ModelyardError
from registry.events import HookDone, HookFailed
from registry.promotion.state import PromotionState
from registry.protocols import Entry
from registry.records import Record
from registry.reports.endpoints import RETIRE, unretired
from registry.stages import ALIASES, Stage


class Waiting(Record):
    """Something that is tried again at a moment. `what` is a hook, or an account such as `runpod`.

    Without a moment (`until` None) no wait helps: a key is not set where the reconciler runs.
    """

    what: str
    stage: Stage
    reason: str
    until: datetime | None

    def __str__(self) -> str:
        """As people read it."""
        if self.until is None:
            return f"{self.what}: {self.reason}"
        return f"{self.what} waits until {self.until:%H:%M:%S} UTC: {self.reason}"


def waiting(
    rows: Sequence[Entry], state: PromotionState, identity: tuple[int, int], outages: Iterable[Outage], at: datetime
) -> list[Waiting]:
    """What waits for a version: first accounts that serve a stage that it holds, then its own hooks that failed last."""
    held = [stage for stage in ALIASES if stage in state.holders and state.holders[stage].identity == identity]
    standing = {Account(outage.kind, outage.owner): outage for outage in outages}
    waits = list[Waiting]()
    for stage in held:
        for account in sorted(_accounts(rows, stage) & standing.keys()):
            outage = standing[account]
            moment = None if outage.variable else outage.until
            waits.append(Waiting(what=str(account), stage=stage, reason=outage.reason, until=moment))
    for row, event in _failed_last(rows, identity):
        if (event.stage in held or event.hook == RETIRE) and not wait_is_over(row.at, event.attempt, at):
            fields = {"what": event.hook, "stage": event.stage, "reason": event.reason}
            waits.append(Waiting.model_validate(fields | {"until": until(row.at, event.attempt)}))
    return waits


def _accounts(rows: Sequence[Entry], stage: Stage) -> set[Account]:
    """Where a stage is served by the ledger, and where it has to be by the policy."""
    accounts = {account_at(event) for event in unretired(rows, stage).begun}
    try:
        job = current_policy(rows)
    except ModelyardError:  # of a package that is not installed here
        return accounts
    config = job.deploy.of(stage) if job else None
    return accounts | {account_of(config)} if config else accounts


def _failed_last(rows: Iterable[Entry], identity: tuple[int, int]) -> list[tuple[Entry, HookFailed]]:
    last = dict[tuple[str, Stage], tuple[Entry, HookFailed | HookDone]]()
    for row in rows:
        event = row.event
        if isinstance(event, (HookDone, HookFailed)) and event.identity == identity and row.flaw is None:
            last[event.hook, event.stage] = row, event
    return [(row, event) for row, event in last.values() if isinstance(event, HookFailed)]
