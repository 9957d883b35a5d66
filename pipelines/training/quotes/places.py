"""What one trainer's run would take and cost: on this machine, and wherever else the job may send it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal

from pipelines.data.dataset import DataSet
from pipelines.job.launch import LocalLaunch
from pipelines.job.launch_ray import RayLaunch
from pipelines.job.launch_runpod import RunPodLaunch
from pipelines.job.launches import LaunchConfig
from pipelines.job.trainers import TrainerConfig
from pipelines.training.launchers.choose import launched
from pipelines.training.metered import Metered
from pipelines.training.quotes.estimate import PastTiming, Span, alike, estimate
from pipelines.training.quotes.planned import Epochs, planned_epochs
from pipelines.training.quotes.probe import Probe
from pipelines.training.timing import HERE, recipe_of, where_of
from pipelines.training.trainers.contract import Trainer
from registry.amounts import format_usd, round_usd
from registry.errors import ModelyardError
from registry.money.billing import cost
from registry.money.prices import Price, local_price
from registry.records import Record, Timing
from registry.settings import Settings

_BUSY = 0.1
UNKNOWN = "not known there: no run of this kind yet"


class Dollars(Record):
    """US dollars: an interval, and what is most likely."""

    low: Decimal
    likely: Decimal
    high: Decimal

    @classmethod
    def of(cls, span: Span, price: Price, cap: Decimal | None = None) -> Dollars:
        """What a span of time costs at a price, and never more than a cap."""
        amounts = [round_usd(cost(seconds, price)) for seconds in (span.low, span.likely, span.high)]
        low, likely, high = [min(amount, cap) for amount in amounts] if cap is not None else amounts
        return cls(low=low, likely=likely, high=high)

    def __str__(self) -> str:
        return f"{format_usd(self.likely)} ({format_usd(self.low)} to {format_usd(self.high)})"


class PlaceQuote(Record):
    """A trainer's run at one place. `seconds` and `usd` are None where nothing is known of it, never zero.

    `chosen`: the job's `launch:` sends it there. `usd_at_most` is the launch's own cap. `basis` says what the figures rest
    on, or why there are none.
    """

    name: str
    chosen: bool
    epochs: Epochs | None = None
    seconds: Span | None = None
    usd: Dollars | None = None
    usd_per_hour: Decimal | None = None
    price_source: str = ""
    usd_at_most: Decimal | None = None
    basis: str


@dataclass
class PlaceQuoter:
    """Quotes trainers on one data set, by what the ledger knows of past runs, else by timing them here.

    `refusals` collects why the job's own launch would refuse to train.
    """

    settings: Settings
    data: DataSet
    past: Sequence[PastTiming]
    say: Callable[[str], None]
    refusals: list[str] = field(default_factory=list[str])

    def quotes(self, config: TrainerConfig, launch: LaunchConfig) -> list[PlaceQuote]:
        """This machine first, then the job's own place where that is another."""
        here = launch if isinstance(launch, LocalLaunch) else LocalLaunch()
        quotes = [self._here(config, here, chosen=here is launch)]
        if isinstance(launch, RayLaunch):
            quotes.append(self._on_ray(config, launch))
        if isinstance(launch, RunPodLaunch):
            quotes += self._on_pods(config, launch)
        return quotes

    def known(self, config: TrainerConfig, where: str) -> list[Timing]:
        """Timings of past runs that tell how long the config takes there."""
        images = len(self.data.rows("train"))
        return alike(self.past, where, recipe_of(config), self.data.manifest.digest, images)

    def past_quote(self, config: TrainerConfig, where: str) -> tuple[Span, Epochs] | None:
        """By past runs alone; None where there is none."""
        if not (timings := self.known(config, where)):
            return None
        epochs = planned_epochs(config, len(self.data.rows("train")), timings)
        return estimate(timings, epochs), epochs

    def _here(self, config: TrainerConfig, launch: LocalLaunch, *, chosen: bool) -> PlaceQuote:
        name, price = "this machine", local_price(self.settings)
        images, timings = len(self.data.rows("train")), self.known(config, HERE)
        basis = in_runs(timings)
        if not timings:
            try:
                timings = [self._probed(config, launch)]
            except ModelyardError as error:
                return self._refused(name, error, chosen=chosen)
            basis = "timed epochs, here and now" + (", on a busy machine" if timings[0].unsteady > _BUSY else "")
        epochs = planned_epochs(config, images, timings)
        return _priced(PlaceQuote(name=name, chosen=chosen, basis=basis), price, (estimate(timings, epochs), epochs))

    def _probed(self, config: TrainerConfig, launch: LocalLaunch) -> Timing:
        def make(shorter: TrainerConfig) -> Trainer:
            return launched(shorter, launch, self.settings, self.say)

        return Probe(make, self.settings.cache, self.say).time(config, self.data, int(getattr(config, "batch", 0)))

    def _on_ray(self, config: TrainerConfig, launch: RayLaunch) -> PlaceQuote:
        name = f"Ray at {launch.address}"
        try:
            trainer = launched(config, launch, self.settings, self.say)
        except ModelyardError as error:
            return self._refused(name, error, chosen=True)
        price = trainer.price if isinstance(trainer, Metered) else local_price(self.settings)
        return self._elsewhere(name, config, where_of(launch), price)

    def _on_pods(self, config: TrainerConfig, launch: RunPodLaunch) -> list[PlaceQuote]:
        """One for each kind of pod that the launch may take, in the order in which they are tried."""
        from pipelines.training.launchers.runpod import PodTrainer

        try:
            trainer = launched(config, launch, self.settings, self.say)
        except ModelyardError as error:
            return [self._refused("RunPod", error, chosen=True)]
        assert isinstance(trainer, PodTrainer)  # noqa: S101 what such a launch makes
        quotes = list[PlaceQuote]()
        for candidate in trainer.quote.candidates:
            hardware = f"{candidate.gpu} x {launch.gpu_count}"
            price = trainer.price.model_copy(update={"hardware": hardware, "usd_per_hour": candidate.usd_per_hour})
            most = min(launch.max_usd, round_usd(candidate.usd_per_hour * Decimal(launch.max_minutes) / 60))
            quotes.append(self._elsewhere(f"RunPod {hardware}", config, f"runpod: {hardware}", price, most))
        return quotes

    def _elsewhere(self, name: str, config: TrainerConfig, where: str, price: Price, most: Decimal | None = None) -> PlaceQuote:
        """By past runs there, whose seconds count from before a machine is asked for until it is gone."""
        quoted, timings = self.past_quote(config, where), self.known(config, where)
        capped = f"; {format_usd(most)} at most, the launch's cap" if most is not None else ""
        basis = in_runs(timings) if quoted else UNKNOWN + capped
        blank = PlaceQuote(name=name, chosen=True, usd_at_most=most, basis=basis)
        return _priced(blank, price, quoted)

    def _refused(self, name: str, error: ModelyardError, *, chosen: bool) -> PlaceQuote:
        if chosen:
            self.refusals.append(str(error))
        return PlaceQuote(name=name, chosen=chosen, basis=f"not known: {error}")


def _priced(blank: PlaceQuote, price: Price, quoted: tuple[Span, Epochs] | None) -> PlaceQuote:
    """A quote with the place's price, and with time and money where the time is known."""
    fields: dict[str, object] = {"usd_per_hour": price.usd_per_hour, "price_source": price.source}
    if quoted:
        span, epochs = quoted
        fields |= {"seconds": span, "epochs": epochs, "usd": Dollars.of(span, price, blank.usd_at_most)}
    return blank.model_copy(update=fields)


def in_runs(timings: Sequence[Timing]) -> str:
    """What a quote by past runs rests on."""
    return "one past run" if len(timings) == 1 else f"{len(timings)} past runs"
