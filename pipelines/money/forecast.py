"""What a month of traffic would cost where: the catalogue's prices, what was measured, and assumptions that are named."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pipelines.money.prices import prices
from registry.errors import NotFoundError
from registry.events import Exported
from registry.money.accounts import measured
from registry.money.comparison import Forecast, compare
from registry.money.places import Assumptions, Overrides
from registry.money.prices import local_price, today
from registry.money.traffic import Traffic
from registry.promotion.verdict import resolve
from registry.records import Record
from registry.refs import parse_ref

if TYPE_CHECKING:
    from pipelines.home import Workshop
    from registry.protocols import Entry

__all__ = ["Asked", "Forecast", "Overrides", "forecast_costs"]

_UNMEASURED_MS = 50.0


class Asked(Record):
    """What a forecast is made for. Seconds and milliseconds; what is None is measured or assumed."""

    traffic: Traffic
    service_ms: float | None = None
    longest_wait_s: float | None = None
    told: Overrides = Overrides()


def forecast_costs(workshop: Workshop, asked: Asked, ref: str | None = None) -> Forecast:
    """Compare the places. Raises NotFoundError for a version that was not exported, InputError for a latency that is none."""
    exported, told = None, (_UNMEASURED_MS, "assumed: name a version, or tell --service-ms")
    if asked.service_ms is not None:
        told = (asked.service_ms, "as told by --service-ms")
    elif ref:
        exported = _exported(workshop, ref)
    known = measured(_entries(workshop), exported, told, parse_ref(ref).model if ref else "")
    ground, settings = Assumptions.combine(known, asked.told), workshop.settings
    catalogue, wait = prices(settings), asked.longest_wait_s
    return compare(catalogue, local_price(settings), asked.traffic, ground, today=today(), p95_limit_s=wait)


def _exported(workshop: Workshop, ref: str) -> Exported:
    """The version's newest bundle whose latency was measured. Raises NotFoundError where there is none."""
    context = workshop.context()
    version = resolve(context.store, parse_ref(ref))
    rows = [entry.event for entry in context.ledger.entries(version.model)]
    found = [one for one in rows if isinstance(one, Exported) and one.identity == version.identity and one.latency]
    if not found:
        raise NotFoundError(f"latency of {ref}", "was not measured yet", f"run `modelyard export {ref}`")
    return found[-1]


def _entries(workshop: Workshop) -> Sequence[Entry]:
    """The ledger's rows; a home that is not there yet is not made for a question."""
    return workshop.ledger().entries() if workshop.settings.home.is_dir() else []
