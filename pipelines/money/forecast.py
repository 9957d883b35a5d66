"""What a month of traffic would cost where: the catalogue's prices, what was measured, and assumptions that are named."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pipelines.money.prices import prices
from registry.errors import NotFoundError
from registry.events import Exported
from registry.money.comparison import Forecast, compare
from registry.money.places import Assumptions, Overrides
from registry.money.prices import local_price, today
from registry.money.traffic import Traffic
from registry.promotion.verdict import resolve
from registry.records import Record
from registry.refs import parse_ref
from registry.reports.accounts import measured

if TYPE_CHECKING:
    from pipelines.home import Home
    from registry.protocols import Entry

__all__ = ["Forecast", "ForecastRequest", "Overrides", "forecast_costs"]

_UNMEASURED_MS = 50.0


class ForecastRequest(Record):
    """What a forecast is made for. Seconds and milliseconds; what is None is measured or assumed."""

    traffic: Traffic
    service_ms: float | None = None
    longest_wait_s: float | None = None
    told: Overrides = Overrides()


def forecast_costs(home: Home, asked: ForecastRequest, ref: str | None = None) -> Forecast:
    """Compare the places. Raises NotFoundError for a version that was not exported, InputError for a latency that is none."""
    exported, latency = None, (_UNMEASURED_MS, "assumed: name a version, or give --service-ms")
    if asked.service_ms is not None:
        latency = (asked.service_ms, "from --service-ms")
    elif ref:
        exported = _exported(home, ref)
    known = measured(_entries(home), exported, latency, parse_ref(ref).model if ref else "")
    ground, settings = Assumptions.combine(known, asked.told), home.settings
    catalogue, wait = prices(settings), asked.longest_wait_s
    return compare(catalogue, local_price(settings), asked.traffic, ground, today=today(), p95_limit_s=wait)


def _exported(home: Home, ref: str) -> Exported:
    """The version's newest bundle whose latency was measured. Raises NotFoundError where there is none."""
    context = home.context()
    version = resolve(context.store, parse_ref(ref))
    rows = [entry.event for entry in context.ledger.entries(version.model)]
    exports = [event for event in rows if isinstance(event, Exported) and event.identity == version.identity and event.latency]
    if not exports:
        raise NotFoundError(f"latency of {ref}", "was not measured yet", f"run `modelyard export {ref}`")
    return exports[-1]


def _entries(home: Home) -> Sequence[Entry]:
    """The ledger's rows; a home that is not there yet is not made for a question."""
    return home.ledger().entries() if home.settings.home.is_dir() else []
