"""What things cost, from the ledger: it needs no server."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

from pipelines.endpoints import in_clouds
from registry.events import Deployed, Trained
from registry.money.prices import Price, local_price
from registry.records import Record

if TYPE_CHECKING:
    from pipelines.wiring import Workshop


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
