"""What everything cost, by the ledger alone: the one report behind `costs`, `costs --by` and the Costs page."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from functools import cached_property

from registry.errors import InputError
from registry.events import Deployed, Promoted, Trained
from registry.money.books import TRAINING, By, Group, Spend, grouped
from registry.protocols import Entry
from registry.records import Record
from registry.reports.accounts import came_to_production, spending
from registry.reports.endpoints import existing_deployments
from registry.spending import TrainingFailed

_ZERO = Decimal(0)
_MONTH = re.compile(r"\d{4}-(0[1-9]|1[0-2])")


class CostLine(Record):
    """One thing that costs: a training run, or a month of an endpoint."""

    ref: str
    what: str
    detail: str
    usd: Decimal


class CostSums(Record):
    """What was spent, summed up by something, in a month or ever. `billed_usd` is the part that bills are about."""

    by: By
    month: str | None
    groups: list[Group]
    usd: Decimal
    billed_usd: Decimal


@dataclass(frozen=True)
class CostReport:
    """The books of a ledger up to a moment. `spends` is every amount until then: training, failed too, serving and bills."""

    entries: Sequence[Entry]
    now: datetime
    spends: Sequence[Spend] = field(default=())

    @classmethod
    def of(cls, entries: Sequence[Entry], now: datetime) -> CostReport:
        """The report of these rows."""
        return cls(entries, now, spending(entries, now))

    @property
    def training_usd(self) -> Decimal:
        """All training so far: failed runs too, and what was billed for it in place of what was measured."""
        return sum((spend.usd for spend in self.spends if spend.what in TRAINING), _ZERO)

    @cached_property
    def deployments(self) -> list[Deployed]:
        """What was deployed for the endpoints that exist now."""
        return existing_deployments(self.entries)

    @property
    def serving_usd_per_month(self) -> Decimal:
        """A month of the endpoints that exist now, as quoted. Those of one machine share it; each shows its full price."""
        return sum((event.usd_per_month for event in self.deployments), _ZERO)

    def lines(self) -> list[CostLine]:
        """One line a training run, then one an endpoint that exists now."""
        events = [entry.event for entry in self.entries if entry.flaw is None]
        runs = {event.run_id: event for event in events if isinstance(event, (Trained, TrainingFailed))}
        spent = dict.fromkeys(runs, _ZERO)
        for spend in self.spends:
            if spend.what in TRAINING and spend.resource in spent:
                spent[spend.resource] += spend.usd
        return [_run_line(event, spent[run_id]) for run_id, event in runs.items()] + [
            _endpoint_line(event) for event in self.deployments
        ]

    def sums(self, by: By, month: str | None = None, experiments: Mapping[str, str] | None = None) -> CostSums:
        """Sums of a month (as 2026-11) or of all time. `experiments` is run → experiment. Raises InputError for no month."""
        check_month(month)
        spends = [spend for spend in self.spends if month in {None, spend.month}]
        promoted = defaultdict[str, list[Entry]](list)
        for entry in self.entries:
            if isinstance(entry.event, Promoted):
                promoted[entry.event.model].append(entry)
        groups = grouped(spends, by, lambda model: came_to_production(promoted[model], model, month), experiments)
        billed = sum((group.billed_usd for group in groups), _ZERO)
        return CostSums(by=by, month=month, groups=groups, usd=sum((group.usd for group in groups), _ZERO), billed_usd=billed)


def check_month(month: str | None) -> None:
    """Raise InputError for what is not a month."""
    if month is not None and not _MONTH.fullmatch(month):
        raise InputError(f"month '{month[:20]}'", "is not a month", "write it as 2026-11")


def _run_line(event: Trained | TrainingFailed, usd: Decimal) -> CostLine:
    failed = isinstance(event, TrainingFailed)
    what = "trial of a search" if failed and event.trial else "failed training" if failed else "training"
    ref = event.model if failed else event.label
    detail = f"{event.trainer}, {event.seconds:.0f} s on {event.hardware}"
    return CostLine(ref=ref, what=what, detail=detail, usd=usd)


def _endpoint_line(event: Deployed) -> CostLine:
    always_on = f"a month of {event.target}, always on (quote)"
    on_demand = f"a month of {event.target} while idle (quote); requests are billed by the second or minute"
    detail = always_on if event.target == "local" else on_demand
    return CostLine(ref=event.label, what=f"serving {event.stage}", detail=detail, usd=event.usd_per_month)
