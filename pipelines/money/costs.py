"""What things cost, from the ledger: it needs no server."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import TYPE_CHECKING

from registry.errors import InputError
from registry.events import Deployed, Trained, now
from registry.money.accounts import By, Group, came_to_production, grouped, spending
from registry.money.prices import Price, local_price
from registry.records import Record
from registry.reports.endpoints import in_clouds

if TYPE_CHECKING:
    from pipelines.home import Workshop


class Line(Record):
    """One thing that costs."""

    ref: str
    what: str
    detail: str
    usd: Decimal


class CostReport(Record):
    """Training by run, serving by endpoint, and the price that both were reckoned with."""

    lines: list[Line]
    training_usd: Decimal
    serving_usd_per_month: Decimal
    price: Price


def costs(workshop: Workshop) -> CostReport:
    """Every run that ended in a version, and the month's quote of every endpoint that is recorded now."""
    events = [entry.event for entry in workshop.ledger().entries()]
    trained = [event for event in events if isinstance(event, Trained)]
    serving = _serving(workshop, [event for event in events if isinstance(event, Deployed)])
    runs = [
        Line(ref=one.label, what="training", detail=f"{one.trainer}, {one.seconds:.0f} s on {one.hardware}", usd=one.usd)
        for one in trained
    ]
    return CostReport(
        lines=runs + serving,
        training_usd=sum((one.usd for one in trained), Decimal(0)),
        serving_usd_per_month=sum((line.usd for line in serving), Decimal(0)),
        price=local_price(workshop.settings),
    )


class Sums(Record):
    """What was spent, summed up by something, in a month or ever. `billed_usd` is the part that bills are about."""

    by: By
    month: str | None
    groups: list[Group]
    usd: Decimal
    billed_usd: Decimal


def summed(workshop: Workshop, by: By, month: str | None) -> Sums:
    """Sums of training, failed runs too, of the time that endpoints stood, and of bills. Raises InputError for no month."""
    if month is not None and not re.fullmatch(r"\d{4}-(0[1-9]|1[0-2])", month):
        raise InputError(f"month '{month[:20]}'", "is none", "write it as 2026-11")
    entries = workshop.ledger().entries()
    spent = [one for one in spending(entries, now()) if month in {None, one.month}]
    experiments = _experiments(workshop) if by == "experiment" else None
    groups = grouped(spent, by, lambda model: came_to_production(entries, model, month), experiments)
    zero = Decimal(0)
    billed = sum((one.billed_usd for one in groups), zero)
    return Sums(by=by, month=month, groups=groups, usd=sum((one.usd for one in groups), zero), billed_usd=billed)


def _experiments(workshop: Workshop) -> dict[str, str]:
    """Run → its experiment, by the copy of MLflow's runs that is here; nobody is asked."""
    from registry.runs.mirror import RunMirror

    return {row.run_id: row.experiment for row in RunMirror.for_home(workshop.settings).rows()}


def _serving(workshop: Workshop, deployed: list[Deployed]) -> list[Line]:
    """The last quote of each endpoint that still stands; endpoints of one machine share it, so each shows its full price."""
    lines: list[Line] = []
    for live in workshop.target().list():
        quotes = [event for event in deployed if event.bundle == live.bundle and event.url == live.url]
        if quotes:
            last = quotes[-1]
            detail = f"a month of {last.target}, always on (quote)"
            lines.append(Line(ref=last.label, what=f"serving {last.stage}", detail=detail, usd=last.usd_per_month))
    for model in sorted({event.model for event in deployed}):
        for event in in_clouds(workshop.ledger().entries(model)):
            detail = f"a month of {event.target} while nobody asks (quote); what is asked is billed by the second or minute"
            lines.append(Line(ref=event.label, what=f"serving {event.stage}", detail=detail, usd=event.usd_per_month))
    return lines
