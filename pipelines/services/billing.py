"""What RunPod billed, fetched once a day; and endpoints stopped whose month cost as much as their cap. Both need its key."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING

from pipelines.deployment.outages import Account
from pipelines.job.policy import current_policy
from pipelines.money.bills import fetch_bills
from pipelines.services.lanes import Task
from registry.errors import ModelyardError
from registry.events import Deployed, EndpointStopped, now
from registry.reports.endpoints import endpoint_named, existing_deployments
from serving.targets.runpod.budget import stop_over_cap
from serving.targets.runpod.client import RunPodClient
from serving.targets.runpod.config import RunPodDeploy

if TYPE_CHECKING:
    from pipelines.home import Say
    from registry.protocols import Entry, Ledger
    from registry.settings import Settings

DAY_S, AGAIN_S, CAPS_S = 86_400.0, 3_600.0, 900.0
"""How long until bills are fetched again, after a failure too, and until caps are looked at again."""
_DAYS_BACK = 7
"""A bill may be corrected for some days."""


@dataclass
class BillingWatch:
    """Tells what is due. `clock` is in seconds, `at` is the time by which months are counted."""

    settings: Settings
    ledger: Ledger
    say: Say
    clock: Callable[[], float] = time.monotonic
    at: Callable[[], datetime] = now
    _due: dict[str, float] = field(default_factory=dict[str, float])

    def tasks(self) -> Iterator[Task]:
        """What is due now, each in the lane of the account that it asks; nothing without a key."""
        if self.settings.runpod_api_key is None:
            return
        lane = (Account("runpod"),)
        for name, work, pause in (("bills of RunPod", self.fetch, AGAIN_S), ("caps at RunPod", self.keep_caps, CAPS_S)):
            if self.clock() >= self._due.get(name, self.clock()):
                self._due[name] = self.clock() + pause
                yield Task(name, "", lane, work)

    def fetch(self) -> list[str]:
        """Fetch the bills of the last days, and wait for a day after that."""
        fetched = fetch_bills(self.settings, self.ledger, _DAYS_BACK, self.say)
        self._due["bills of RunPod"] = self.clock() + DAY_S
        return [f"{len(fetched)} new or corrected bills of RunPod"] if fetched else []

    def keep_caps(self) -> list[str]:
        """Stop what cost as much as it may, one endpoint after the other: the first failure is raised at the end."""
        entries, lines, failures = self.ledger.entries(), list[str](), list[ModelyardError]()
        for event in existing_deployments(entries):
            cap = _cap_of(event, entries) if event.target == "runpod" else None
            if cap is None:
                continue
            try:
                lines += self._stop(event, cap)
            except ModelyardError as error:
                failures.append(error)
        if failures and not lines:
            raise failures[0]
        return lines + [str(error) for error in failures]

    def _stop(self, event: Deployed, cap: Decimal) -> list[str]:
        key, name = self.settings.runpod_api_key, endpoint_named(event)
        if key is None:
            return []
        spent = stop_over_cap(RunPodClient(key, self.settings.runpod_url), name, cap, self.at())
        if spent is None:
            return []
        fields = {"stage": event.stage, "target": event.target, "endpoint": event.endpoint, "month": f"{self.at():%Y-%m}"}
        stopped = EndpointStopped(**event.subject, **fields, usd=spent, cap_usd=cap)  # pyright: ignore[reportArgumentType]
        self.ledger.append(stopped)
        return [f"{stopped}; it starts again with the next month, or when `max_usd_per_month` is raised"]


def _cap_of(event: Deployed, entries: Sequence[Entry]) -> Decimal | None:
    """The cap that holds: the policy's for a stage's own endpoint, else the one that it was deployed with."""
    try:
        policy = None if event.endpoint else current_policy([row for row in entries if row.event.model == event.model])
    except ModelyardError:  # one that cannot be read here changes no cap
        policy = None
    config = policy.deploy.of(event.stage) if policy else None
    if isinstance(config, RunPodDeploy):
        return None if config.max_usd_per_month is None else Decimal(str(config.max_usd_per_month))
    return event.max_usd_per_month
