"""What a job's trainings hold of the budgets while they run: what they are quoted at, less each as it is booked."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING

from pipelines.money.budgets import standings
from pipelines.money.holds import Hold, Start, holding, release_ended
from pipelines.training.interrupted import has_ended, process_mark
from pipelines.training.metered import Metered
from pipelines.training.quotes.estimate import PastTiming, past_timings
from pipelines.training.quotes.places import Dollars, PlaceQuoter
from pipelines.training.timing import where_of
from registry.amounts import format_usd
from registry.events import now
from registry.lease import FileLeases
from registry.ledger.store import SqlLedger
from registry.money.billing import cost
from registry.money.prices import Price, local_price

if TYPE_CHECKING:
    from pipelines.data.dataset import DataSet
    from pipelines.job.jobfile import Job
    from pipelines.job.trainers import TrainerConfig
    from pipelines.training.trainers.contract import Trainer
    from registry.protocols import Leases, Ledger
    from registry.records import Actor
    from registry.settings import Settings

UNKNOWN_S = 3600.0
"""What is held for a training that nothing is known of: an hour of where it runs."""


@dataclass(frozen=True, slots=True)
class MostOf:
    """The most that one training is quoted at, None where that is not known, how long it takes, and an hour of its place."""

    usd: Decimal | None
    seconds: float
    unknown_usd: Decimal


@dataclass(frozen=True)
class JobHolder:
    """Holds the money of a job's trainings."""

    settings: Settings
    ledger: Ledger
    say: Callable[[str], None]

    @contextmanager
    def holding(
        self, job: Job, data: DataSet, trainers: Sequence[tuple[TrainerConfig, Trainer]], actor: Actor
    ) -> Generator[Callable[[int], None]]:
        """Hold what the trainers are quoted at within the block, which is given what says how many of them are booked.

        Without a budget, or with nothing to train, nothing is held. Raises RefusedError where a budget has not that much left.
        """
        entries = self.ledger.entries()
        if not trainers or not standings(entries, job.model, actor.name, now(), job.budget):
            yield lambda _: None
            return
        for gone in release_ended(self.ledger, has_ended):
            self.say(f"budget: released {format_usd(gone.usd)}, held by a training whose process is gone")
        quotes = self._quotes(job, data, trainers, past_timings(entries))
        times = job.search.trials + 1 if job.search else 1
        start = Start(
            model=job.model,
            person=actor.name,
            usd=_total([quote.usd for quote in quotes], times),
            unknown_usd=sum((quote.unknown_usd for quote in quotes), Decimal(0)) * times,
            seconds=sum(quote.seconds for quote in quotes) * times,
            process=process_mark(),
        )
        with holding(self.ledger, self._leases(), start, job.budget) as hold:
            yield lambda booked: _booked(hold, quotes[booked:])

    def _quotes(
        self, job: Job, data: DataSet, trainers: Sequence[tuple[TrainerConfig, Trainer]], past: Sequence[PastTiming]
    ) -> list[MostOf]:
        quoter = PlaceQuoter(self.settings, data, past, self.say)
        return [self._most(quoter, job, config, trainer) for config, trainer in trainers]

    def _most(self, quoter: PlaceQuoter, job: Job, config: TrainerConfig, trainer: Trainer) -> MostOf:
        """A launch's own cap, else the upper end of what past runs tell, else nothing."""
        price: Price = trainer.price if isinstance(trainer, Metered) else local_price(self.settings)
        unknown = cost(UNKNOWN_S, price)
        if job.launch.kind == "runpod":
            dearest = price.usd_per_hour * Decimal(job.launch.max_minutes) / 60
            return MostOf(min(job.launch.max_usd, dearest), job.launch.max_minutes * 60, unknown)
        quoted = quoter.past_quote(config, where_of(job.launch))
        if quoted is None:
            return MostOf(None, UNKNOWN_S, unknown)
        return MostOf(Dollars.of(quoted[0], price).high, quoted[0].high, unknown)

    def _leases(self) -> Leases:
        ledger = self.ledger
        if isinstance(ledger, SqlLedger) and ledger.shared:
            return ledger.leases()
        return FileLeases(self.settings.home / "leases")


def _total(amounts: Sequence[Decimal | None], times: int) -> Decimal | None:
    """All of them so many times; not known where one is not."""
    known = [amount for amount in amounts if amount is not None]
    return sum(known, Decimal(0)) * times if len(known) == len(amounts) else None


def _booked(hold: Hold, left: Sequence[MostOf]) -> None:
    """Some trainings are booked: only what is left is held."""
    hold.lower(sum((quote.unknown_usd if quote.usd is None else quote.usd for quote in left), Decimal(0)))
