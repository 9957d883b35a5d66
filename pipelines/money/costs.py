"""What things cost, from the ledger: it needs no server."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

from registry.events import now
from registry.money.books import By
from registry.money.prices import Price, local_price
from registry.protocols import Entry
from registry.records import Record
from registry.reports.costs import CostLine, CostReport, CostSums, check_month
from registry.settings import Settings


class Costs(Record):
    """Training by run, serving by endpoint, and the price of this machine that both were computed with.

    `billed_usd` is the part of everything that was spent so far which providers' bills are about.
    """

    lines: list[CostLine]
    training_usd: Decimal
    serving_usd_per_month: Decimal
    billed_usd: Decimal
    price: Price


def costs(entries: Sequence[Entry], settings: Settings) -> Costs:
    """Every training run, and the month's quote of every endpoint that exists now."""
    report = CostReport.of(entries, now())
    return Costs(
        lines=report.lines(),
        training_usd=report.training_usd,
        serving_usd_per_month=report.serving_usd_per_month,
        billed_usd=report.sums("model").billed_usd,
        price=local_price(settings),
    )


def summed(entries: Sequence[Entry], settings: Settings, by: By, month: str | None) -> CostSums:
    """Sums of training, failed runs too, of the time that endpoints existed, and of bills. Raises InputError for no month."""
    check_month(month)
    experiments = _experiments(settings) if by == "experiment" else None
    return CostReport.of(entries, now()).sums(by, month, experiments)


def _experiments(settings: Settings) -> dict[str, str]:
    """Run → its experiment, by the local copy of MLflow's runs; no server is asked."""
    from registry.runs.mirror import RunMirror

    return {row.run_id: row.experiment for row in RunMirror.for_home(settings).rows()}
