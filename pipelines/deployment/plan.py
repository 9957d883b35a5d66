"""What `deploy` would do: create, change, delete, publish; and what a month of it would cost. Nothing is done."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from pipelines.deployment.quotes import Quoter
from pipelines.deployment.targets import account_of, elsewhere, owner_of
from pipelines.deployment.uploads import future_uploads
from registry.amounts import format_usd
from registry.errors import DeniedError, ModelyardError, UnavailableError
from registry.records import Record
from registry.refs import CANARY_SUFFIX, endpoint_name
from registry.reports.endpoints import existing_deployments, last_deployed
from serving.targets.contract import LiveEndpoint, Publishes, Quote
from serving.targets.huggingface.target import HuggingFaceTarget
from serving.targets.planning import Change, endpoint_change
from serving.targets.runpod.target import RunPodTarget

if TYPE_CHECKING:
    from pipelines.deployment.targets import Targets
    from pipelines.job.deploys import AnyDeploy
    from registry.protocols import Entry
    from registry.stages import Stage
    from serving.bundle.bundle import Bundle
    from serving.targets.contract import Target


class DeployPlan(Record):
    """Every change, in the order in which it is made, and the cost. `now_usd_per_month` is the quote of what stands there."""

    endpoint: str
    target: str
    version: str | None
    changes: list[Change]
    quote: Quote | None
    now_usd_per_month: Decimal | None
    notes: list[str]

    @property
    def summary(self) -> str:
        """The counts, as Terraform's last line."""
        counts = {action: sum(change.action == action for change in self.changes) for action in _COUNTED}
        return f"Plan: {', '.join(f'{count} to {action}' for action, count in counts.items())}."

    @property
    def text(self) -> str:
        """For people."""
        lines = [f"{self.endpoint} at {self.target}: {self.version or 'no version yet'}", ""]
        for change in self.changes:
            lines += [f"  {line}" for line in change.lines]
        cost = self.quote.in_words if self.quote else "not known"
        now = "" if self.now_usd_per_month is None else f" Now: {format_usd(self.now_usd_per_month)} a month while idle."
        return "\n".join([*lines, "", self.summary, f"Cost: {cost}.{now}", *self.notes])

    def as_dict(self) -> dict[str, Any]:
        """For machines."""
        document = self.model_dump(mode="json")
        if self.quote:
            document["quote"]["usd_per_month_bound"] = str(self.quote.usd_per_month_bound)
        return document


_COUNTED = ("create", "change", "delete", "publish")


@dataclass(frozen=True)
class Planner:
    """Plans the deployment of one stage. `bundle` is the version's, None where no version is known yet."""

    targets: Targets
    config: AnyDeploy
    model: str
    stage: Stage
    entries: Sequence[Entry]
    bundle: Bundle | None = None

    def plan(self) -> DeployPlan:
        """Ask the target, and the ledger where it cannot be asked."""
        notes, index = list[str](), self.bundle.index if self.bundle else None
        changes = self._changes(notes)
        quote = self._quote(notes)
        standing = [event for event in existing_deployments(self.entries) if event.stage is self.stage and not event.endpoint]
        return DeployPlan(
            endpoint=self._name,
            target=f"{self.config.kind} {owner_of(self.config)}".strip(),
            version=f"{index.model}/{index.version}" if index else None,
            changes=changes,
            quote=quote,
            now_usd_per_month=standing[-1].usd_per_month if standing else None,
            notes=notes,
        )

    @property
    def _name(self) -> str:
        return endpoint_name(self.model, self.stage)

    @property
    def _release(self) -> dict[str, str]:
        if self.bundle is None:
            return {}
        index = self.bundle.index
        return {"version": f"{index.model}/{index.version}", "bundle": index.digest[:12]}

    def _changes(self, notes: list[str]) -> list[Change]:
        try:
            target = self.targets.build(self.config)
            changes = self._at(target)
            changes = [*self._uploads(target, keeps=all(change.action == "keep" for change in changes)), *changes]
        except (DeniedError, UnavailableError) as error:
            notes.append(f"{self.config.kind} was not asked, so this is by the ledger alone: {error}")
            changes = [self._by_ledger()]
        if self.bundle is None:
            notes.append(f"no version holds {self.stage} yet: promote one, and the plan shows its bundle too")
            notes.extend(future_uploads(self.config))
        if self.config.canary is not None and any(change.action == "change" for change in changes):
            canary = f"{self._name}{CANARY_SUFFIX}"
            notes.append(f"after a promotion the new version is a canary first: {canary} is created beside, and deleted later")
        return [*changes, *self._moved()]

    def _uploads(self, target: Target, *, keeps: bool) -> list[Change]:
        """What is published; where the endpoint stays as it is, its bundle is there already, and a Space may not be."""
        from serving.targets.huggingface.planning import lacks_page

        if self.bundle is None or not isinstance(target, Publishes):
            return []
        if keeps and not (isinstance(target, HuggingFaceTarget) and lacks_page(target, self.bundle)):
            return []
        uploads = target.publications(self.bundle)[1 if keeps else 0 :]
        return [Change(action="publish", subject=str(upload)) for upload in uploads]

    def _at(self, target: Target) -> list[Change]:
        from serving.targets.huggingface.planning import planned as at_huggingface
        from serving.targets.runpod.planning import planned as at_runpod

        if isinstance(target, RunPodTarget):
            return at_runpod(target, self._name, self._release)
        if isinstance(target, HuggingFaceTarget):
            return at_huggingface(target, self._name, self._release)
        return [self._compared(target.find(self._name))]

    def _by_ledger(self) -> Change:
        event = last_deployed(self.entries, self.stage)
        exists = event is not None and event.target == self.config.kind and event in existing_deployments(self.entries)
        if event is None or not exists:
            return self._compared(None)
        fields = {"name": self._name, "model": event.model, "version": event.version, "bundle": event.bundle}
        return self._compared(LiveEndpoint(**fields, url=event.url, handle=""))  # pyright: ignore[reportArgumentType]

    def _compared(self, live: LiveEndpoint | None) -> Change:
        subject = f"endpoint {self._name} at {'this machine' if self.config.kind == 'local' else self.config.kind}"
        settings = self.config.model_dump(mode="json", exclude={"kind", "canary", "smoke_images"}, exclude_defaults=True)
        return endpoint_change(subject, live, settings | self._release, None)

    def _moved(self) -> list[Change]:
        """The endpoint that the stage has elsewhere is deleted once the new one answers."""
        others = elsewhere(self.entries, self.stage, account_of(self.config))
        names = [f"endpoint {self._name} at {event.target} {event.owner}".strip() for event in others]
        return [Change(action="delete", subject=name, note="once the new one answers") for name in names]

    def _quote(self, notes: list[str]) -> Quote | None:
        try:
            quote = Quoter(self.targets).quote(self.config)
        except ModelyardError as error:
            notes.append(f"the cost is not known: {error}")
            return None
        notes.extend(quote.notes)
        return quote
