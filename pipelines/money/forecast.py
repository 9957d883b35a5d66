"""What a month of traffic would cost where: the catalogue's prices, what was measured, and assumptions that are named."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pipelines.money.prices import prices
from registry.errors import NotFoundError
from registry.events import Exported
from registry.money.comparison import Forecast, Options, compare
from registry.money.places import Assumptions, Overrides
from registry.money.prices import local_price, today
from registry.money.traffic import Traffic
from registry.promotion.state import sound
from registry.promotion.verdict import resolve
from registry.records import Record
from registry.refs import parse_ref
from registry.reports.accounts import measured
from serving.targets.plans import alternatives, plans_by_policy, plans_of

if TYPE_CHECKING:
    from registry.protocols import Ledger, Store
    from registry.settings import Settings

__all__ = ["CostForecast", "Forecast", "ForecastRequest", "Overrides"]

_UNMEASURED_MS = 50.0


class ForecastRequest(Record):
    """What a forecast is made for. Seconds and milliseconds; what is None is measured or assumed."""

    traffic: Traffic
    service_ms: float | None = None
    longest_wait_s: float | None = None
    told: Overrides = Overrides()


@dataclass(frozen=True)
class CostForecast:
    """Forecasts of a home. Store and ledger are opened late: a forecast without a version needs no server."""

    settings: Settings
    ledger_of: Callable[[], Ledger]
    store_of: Callable[[], Store]

    def forecast(self, asked: ForecastRequest, ref: str | None = None, deploy: Mapping[str, Any] | None = None) -> Forecast:
        """Compare the places: how a job's `deploy` serves its stages, else how the version's policy does, and alternatives.

        Raises NotFoundError for a version that was not exported, InputError for no latency.
        """
        exported, latency = None, (_UNMEASURED_MS, "assumed: name a version, or give --service-ms")
        if asked.service_ms is not None:
            latency = (asked.service_ms, "from --service-ms")
        elif ref:
            exported = _exported(self.store_of(), self.ledger_of(), ref)
        # a home that is not there yet is not made for a question
        entries = self.ledger_of().entries() if self.settings.home.is_dir() else []
        model = parse_ref(ref).model if ref else ""
        known = measured(entries, exported, latency, model)
        chosen = plans_by_policy(entries, model) if deploy is None else plans_of(deploy)
        local, assumptions = local_price(self.settings), Assumptions.combine(known, asked.told)
        limit = asked.longest_wait_s
        options = Options(local, [*chosen, *alternatives()])
        return compare(prices(self.settings), options, asked.traffic, assumptions, today=today(), p95_limit_s=limit)


def _exported(store: Store, ledger: Ledger, ref: str) -> Exported:
    """The version's newest bundle whose latency was measured. Raises NotFoundError where there is none."""
    version = resolve(store, parse_ref(ref))
    rows = [entry.event for entry in sound(ledger.entries(version.model), Exported)]
    exports = [event for event in rows if isinstance(event, Exported) and event.identity == version.identity and event.latency]
    if not exports:
        raise NotFoundError(f"latency of {ref}", "was not measured yet", f"run `modelyard export {ref}`")
    return exports[-1]
