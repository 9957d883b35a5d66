"""Endpoints of stages that no version holds any more: deleted, here and in clouds, and tried again until they are gone."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import NamedTuple

from pipelines.deployment.canary.start import Canaries
from pipelines.deployment.keys import key_for_deleting
from pipelines.deployment.outages import Account, Outages
from pipelines.deployment.starting import deleted
from pipelines.deployment.targets import Targets, account_at
from pipelines.job.policy import current_policy
from registry.backoff import wait_is_over
from registry.errors import InputError, MissingKeyError
from registry.events import HookDone, HookFailed, Promoted, now
from registry.promotion.context import PromotionContext
from registry.promotion.due import View
from registry.promotion.hooks import run_step
from registry.promotion.state import Holder, PromotionState, fold
from registry.protocols import Entry
from registry.refs import endpoint_name
from registry.reports.endpoints import RETIRE, Begun, is_begun, last_deployed, named_endpoints, unretired
from registry.stages import ALIASES


class Retirement(NamedTuple):
    """An endpoint of a model that has to be deleted, at an account. `retire` does it and says so."""

    name: str
    model: str
    account: Account
    retire: Callable[[], list[str]]


@dataclass(frozen=True)
class Retirer:
    """Deletes endpoints. What is deleted is decided by the ledger alone."""

    context: PromotionContext
    targets: Targets
    canaries: Canaries
    outages: Outages = field(default_factory=Outages)

    def retire(self, model: str) -> None:
        """Delete the endpoints of a model's stages that no version holds, also those that were deployed by another name.

        Who calls it has the model's lease.

        One that cannot be deleted keeps none of the others; the first failure is raised at the end. Without its key nothing
        is asked about one whose deletion is recorded.
        """
        entries, failures = self.context.ledger.entries(model), list[Exception]()
        held = fold(entries).holders
        for stage in ALIASES:
            begun, last = unretired(entries, stage).begun, last_deployed(entries, stage)
            for event in [] if stage in held else begun or filter(None, [last]):
                try:
                    self._delete(entries, event, endpoint_name(model, stage))
                    if len(begun) > 1:  # else the end of this hook says so
                        self.context.ledger.append(deleted(event, "no version holds its stage"))
                except Exception as error:  # noqa: BLE001 a target is anybody's code
                    if begun or not isinstance(error, MissingKeyError):
                        failures.append(error)
        for event in _unheld(entries, fold(entries)):
            try:
                self._delete_named(event)
            except Exception as error:  # noqa: BLE001 a target is anybody's code
                failures.append(error)
        if failures:
            raise min(failures, key=lambda error: isinstance(error, MissingKeyError))  # what was tried, before what was not

    def missing_key(self, entries: Sequence[Entry]) -> MissingKeyError | None:
        """The key without which an endpoint cannot be deleted of a stage that no version holds."""
        errors = {stage: key_for_deleting(self.targets, stage, entries) for stage in ALIASES}
        if not any(errors.values()) and not any(isinstance(row.event, Begun) and row.event.endpoint for row in entries):
            return None  # most models, at every pass: nothing is folded for them
        state = fold(entries)
        named = (self.targets.missing_key(account_at(event)) for event in _unheld(entries, state))
        return next((error for stage, error in errors.items() if error and stage not in state.holders), None) or next(
            filter(None, named), None
        )

    def overdue(self, view: View) -> list[Retirement]:
        """The endpoints to delete now: those on this machine first. Nothing is deleted, and no cloud is asked.

        An endpoint whose stage another version took over keeps answering until that version's own deployment replaces it,
        and so does one whose version was lost.
        """
        return [*self._overdue_here(view), *self._overdue_in_clouds(view), *self._overdue_named(view)]

    def _overdue_here(self, view: View) -> Iterator[Retirement]:
        for live in self.targets.local().list():
            if live.name not in {endpoint_name(live.model, stage) for stage in ALIASES}:
                continue  # deployed by another name: the ledger knows it
            if not _is_held(live.name, live.model, view.state(live.model)):
                yield Retirement(live.name, live.model, Account("local"), partial(self._retire_here, live.name, live.model))

    def _retire_here(self, name: str, model: str) -> list[str]:
        with self.context.working(model, wait=False):
            entries = self.context.ledger.entries(model)
            if _is_held(name, model, fold(entries)):
                return []
            target = self.targets.local()
            target.delete(name)
            self.canaries.remove(entries, target, name, Account("local"))
            return [f"{name} retired: no version holds its stage"]

    def _overdue_in_clouds(self, view: View) -> Iterator[Retirement]:
        """In clouds, which cost money, what an earlier attempt did not delete: it failed, or was killed on its way.

        What a cloud still has is not asked at each pass: a row of the ledger says that it was deleted. After a failure the
        wait grows, up to ten minutes.
        """
        for model in sorted(view.models()):
            rows = view.rows(model)
            holder = _overdue(rows, view.state(model))
            if holder and not key_for_deleting(self.targets, holder.promotion.stage, rows):
                stage = holder.promotion.stage
                accounts = map(account_at, unretired(rows, stage).begun)
                account = next(account for account in accounts if not self.targets.missing_key(account))
                yield Retirement(endpoint_name(model, stage), model, account, partial(self._retire_in_cloud, model))

    def _retire_in_cloud(self, model: str) -> list[str]:
        with self.context.working(model, wait=False):
            entries = self.context.ledger.entries(model)
            holder = _overdue(entries, fold(entries))
            if holder is None:
                return []
            failed = run_step(self.context, holder, RETIRE, partial(self.retire, model))
        name = endpoint_name(model, holder.promotion.stage)
        return [str(failed) if failed else f"{name} deleted: no version holds its stage"]

    def _overdue_named(self, view: View) -> Iterator[Retirement]:
        """By a name of their own, here and in clouds: the same rule, and a row of their own once they are deleted."""
        for model in sorted(view.models()):
            for event in _unheld(view.rows(model), view.state(model)):
                account = account_at(event)
                yield Retirement(event.endpoint, model, account, partial(self._retire_named, event))

    def _retire_named(self, event: Begun) -> list[str]:
        with self.context.working(event.model, wait=False):
            entries = self.context.ledger.entries(event.model)
            if event not in _unheld(entries, fold(entries)):
                return []
            self._delete_named(event)
        return [f"{event.endpoint} deleted: no version holds its stage"]

    def _delete_named(self, event: Begun) -> None:
        with self.outages.asking(account_at(event)):
            self.targets.delete(event, event.endpoint)
        self.context.ledger.append(deleted(event, "no version holds its stage"))

    def _delete(self, entries: Sequence[Entry], event: Begun, name: str) -> None:
        with self.outages.asking(account_at(event)):
            target = self.targets.delete(event, name)
            self.canaries.remove(entries, target, name, account_at(event))


@dataclass(frozen=True)
class RetireHook:
    """Deletes the endpoints of this model's stages that no version holds any more."""

    retirer: Retirer
    name: str = RETIRE

    def missing_key(self, promotion: Promoted, entries: Sequence[Entry]) -> MissingKeyError | None:  # noqa: ARG002 as asked
        """The key that is not set here, of where one of them is."""
        return self.retirer.missing_key(entries)

    def run(self, promotion: Promoted) -> None:
        """Delete them. The promotion holds the model's lease already."""
        self.retirer.retire(promotion.model)


def check_unwanted(entries: Sequence[Entry], kind: str, name: str) -> None:
    """Raise InputError for a stage's own endpoint while a version holds the stage: the reconciler would deploy it again."""
    policy = current_policy(entries)
    for stage, holder in fold(entries).holders.items():
        model, deploy = holder.promotion.model, policy.deploy.of(stage) if policy else None
        if name == endpoint_name(model, stage) and deploy is not None and deploy.kind == kind:
            remedy = f"run `modelyard promote {model}@{stage} archived`, or take this `deploy` out of the policy first"
            raise InputError(f"deployment '{name}'", f"serves {model}@{stage}, and would be deployed again", remedy)


def _unheld(entries: Sequence[Entry], state: PromotionState) -> list[Begun]:
    """Endpoints with names of their own whose stage no version holds."""
    return [event for event in named_endpoints(entries) if event.stage not in state.holders]


def _is_held(name: str, model: str, state: PromotionState) -> bool:
    return any(name == endpoint_name(model, stage) for stage in state.holders)


def _overdue(rows: Sequence[Entry], state: PromotionState) -> Holder | None:
    """The version whose endpoint in a cloud has to be deleted now, and the row since which no version holds its stage."""
    for stage in ALIASES:
        if stage in state.holders or not any(is_begun(row, stage) and _is_in_cloud(row) for row in rows):
            continue  # most models, at every pass: nothing is folded for them
        begun, given_up = unretired(rows, stage)
        clouds = [event for event in begun if event.target != "local"]
        if given_up is None or not clouds:
            continue
        ends = [row for row in rows if row.seq >= given_up and _is_retiring(row)]
        ratified = state.ratified.get((stage, clouds[-1].identity))
        if ratified and not (ends and not _may_try(ends[-1])):
            return Holder(ratified[1], given_up, ratified[1].actor)
    return None


def _is_in_cloud(row: Entry) -> bool:
    return isinstance(row.event, Begun) and row.event.target != "local"


def _is_retiring(row: Entry) -> bool:
    return isinstance(row.event, (HookDone, HookFailed)) and row.event.hook == RETIRE and row.flaw is None


def _may_try(row: Entry) -> bool:
    return wait_is_over(row.at, row.event.attempt if isinstance(row.event, HookFailed) else 0, now())
