"""Keys that are not set where a process runs: what needs them is not tried there, and nothing of it is called failed.

A person's shell and `modelyard up` are two processes: one may have the key that the other lacks.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING

from pipelines.deployment.outages import Account, Outage
from pipelines.deployment.targets import Targets, account_at, account_of
from registry.backoff import LONGEST_S
from registry.errors import MissingKeyError
from registry.events import Deployed, now
from registry.protocols import Entry
from registry.refs import endpoint_name
from registry.reports.endpoints import Begun, is_begun, unretired
from registry.stages import ALIASES, Stage

if TYPE_CHECKING:
    from pipelines.job.deploys import AnyDeploy


def missing_key(targets: Targets, account: Account, stage: Stage, rows: Sequence[Entry]) -> MissingKeyError | None:
    """The key without which a stage cannot be deployed to an account: its own, or that of where the endpoint is still.

    An endpoint that moves is deleted where it was; without that key there would be two that are paid for. One that does not
    move is looked after whatever a killed command may have left elsewhere.
    """
    if error := targets.missing_key(account):
        return error
    others = [(event, error) for event, error in _undeletable(targets, stage, rows) if account_at(event) != account]
    if not others or any(account_at(event) == account for event in unretired(rows, stage).begun if isinstance(event, Deployed)):
        return None
    event, error = others[0]
    verb = "is" if isinstance(event, Deployed) else "may be"
    why = f"is not set, and {endpoint_name(event.model, stage)} {verb} at {event.target} still"
    return MissingKeyError(error.subject, why, error.remedy)


def key_for_deleting(targets: Targets, stage: Stage, rows: Sequence[Entry]) -> MissingKeyError | None:
    """The key without which nothing can be deleted of what a stage was deployed as; None where it is gone."""
    undeletable = _undeletable(targets, stage, rows)
    if not undeletable or len(undeletable) < len(unretired(rows, stage).begun):
        return None
    return undeletable[0][1]


def _undeletable(targets: Targets, stage: Stage, rows: Sequence[Entry]) -> list[tuple[Begun, MissingKeyError]]:
    """What may exist of a stage's endpoint at accounts without a key here."""
    events = [row.event for row in rows if is_begun(row, stage)]
    accounts = {account_at(event) for event in events if isinstance(event, Begun)}
    errors = {account: error for account in accounts if (error := targets.missing_key(account))}
    if not errors:
        return []  # most models, at every pass: nothing is folded for them
    begun = unretired(rows, stage).begun
    return [(event, error) for event in begun if (error := errors.get(account_at(event)))]


def needed_accounts(
    targets: Targets, model: str, rows: Sequence[Entry], configs: Mapping[Stage, AnyDeploy]
) -> Iterator[tuple[Account, str]]:
    """The accounts that a model's stages need, each with the endpoint's name: to serve there, or to delete what served.

    `configs` are the deployments of the stages that a version holds. Of endpoints to delete, only those without a key.
    """
    for stage in ALIASES:
        name = endpoint_name(model, stage)
        if config := configs.get(stage):
            yield account_of(config), name
        for event, _ in _undeletable(targets, stage, rows):
            yield account_at(event), name


@dataclass
class KeyWatch:
    """The accounts that a process has no key for, each said once, and shown to other processes for as long as it is so."""

    targets: Targets
    _standing: dict[Account, Outage] = field(default_factory=dict[Account, Outage])

    def look(self, needed: Iterable[tuple[Account, str]]) -> list[str]:
        """Sentences about the accounts that were not missing before. `needed` are accounts, each with an endpoint's name."""
        names, errors = dict[Account, set[str]](), dict[Account, MissingKeyError]()
        for account, name in needed:
            if error := self.targets.missing_key(account):
                errors[account] = error
                names.setdefault(account, set()).add(name)
        fresh = sorted(errors.keys() - self._standing.keys())
        self._standing = {account: self._outage(account, errors[account]) for account in sorted(errors)}
        return [_not_asked(account, sorted(names[account]), errors[account]) for account in fresh]

    def standing(self) -> list[Outage]:
        """What other processes are shown; renewed while it is so, and forgotten some minutes after this process was killed."""
        return list(self._standing.values())

    def _outage(self, account: Account, error: MissingKeyError) -> Outage:
        known = self._standing.get(account)
        if known is not None and known.until > now() + timedelta(seconds=LONGEST_S / 2):
            return known
        fields = {"kind": account.kind, "owner": account.owner, "failures": 0, "variable": error.subject}
        reason = f"`modelyard up` runs without {error.subject}: stop it, and start it again where that is set"
        return Outage.model_validate(fields | {"reason": reason, "until": now() + timedelta(seconds=LONGEST_S)})


def _not_asked(account: Account, names: Sequence[str], error: MissingKeyError) -> str:
    where = f"{', '.join(names)} at {account}"
    return f"{where} is not looked after: {error.subject} is not set where this runs; start it again where that is set"
