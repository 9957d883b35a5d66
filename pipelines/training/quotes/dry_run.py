"""`modelyard train --dry-run`: what would be trained, on what, what would be refused, how long it takes and what it costs.

Nothing is kept, logged or registered, and nothing is rented: what is timed is timed here, in a folder that is removed.
"""

from __future__ import annotations

import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import Field

from pipelines.data.catalog import DatasetCatalog
from pipelines.data.dataset import SPLITS, DataSet
from pipelines.identity import whoami
from pipelines.job.tasks import is_detector
from pipelines.job.trainers import TorchTrainer, TrainerConfig
from pipelines.money.budgets import check_start, standings
from pipelines.training.quotes.estimate import past_timings
from pipelines.training.quotes.places import PlaceQuote, PlaceQuoter
from pipelines.training.trainers.build import check_networks
from pipelines.training.trainers.classes import check_fit
from registry.errors import ModelyardError, RefusedError
from registry.events import now
from registry.protocols import Ledger
from registry.records import Record
from registry.settings import Settings
from registry.spending import BudgetStatus

if TYPE_CHECKING:
    from pipelines.job.jobfile import Job

_SCRATCH_SIDE, _PRETRAINED_SIDE = 64, 224


class TrainerQuote(Record):
    """One trainer of the job: what it was told, the ways that it would try, and what it takes at each place."""

    kind: str
    arch: str
    config: dict[str, object]
    ways: list[str]
    places: list[PlaceQuote]


class DryRun(Record):
    """The answer. `images` and `clips` are by split and class; `refusals` are what training would be refused for, a line each.

    `check_s` is what checking the data took, which a training does too; neither that nor registering is booked.
    """

    model: str
    task: str
    dataset: str
    digest: str
    images: dict[str, dict[str, int]]
    clips: dict[str, dict[str, int]]
    checks: str
    check_s: float
    trials: int = 0
    trainers: list[TrainerQuote]
    budgets: list[BudgetStatus] = Field(default=[])
    refusals: list[str]


@dataclass(frozen=True)
class DryRunner:
    """Makes dry runs in a home. Neither MLflow nor a launcher is opened for it."""

    settings: Settings
    ledger: Ledger
    datasets: DatasetCatalog
    say: Callable[[str], None]

    def run(self, job: Job, configs: Sequence[TrainerConfig], data: DataSet) -> DryRun:
        """Quote each trainer. Raises InputError where the job and the data set do not fit, as a training does."""
        check_fit(job.task, data, self.say)
        check_networks(job, configs, self.settings.tf_python)
        began = time.monotonic()
        checks, refusals = self._checked(job, data)
        check_s = time.monotonic() - began
        entries = self.ledger.entries() if self.settings.home.is_dir() else []
        quoter = PlaceQuoter(self.settings, data, past_timings(entries), self.say, refusals)
        quotes = [
            TrainerQuote(
                kind=config.kind,
                arch=config.arch,
                config=config.model_dump(mode="json"),
                ways=ways_of(config, len(data.rows("train"))),
                places=quoter.quotes(config, job.launch),
            )
            for config in configs
        ]
        budgets = standings(entries, job.model, whoami(self.settings).name, now(), job.budget)
        try:
            check_start(budgets, _most(quotes, job.search.trials + 1 if job.search else 1))
        except RefusedError as error:
            refusals.append(str(error))
        return DryRun(
            budgets=budgets,
            model=job.model,
            task=job.task,
            dataset=self.datasets.name_of(data.manifest.digest),
            digest=data.manifest.digest,
            images={split: dict(sorted(_images(data, split).items())) for split in SPLITS},
            clips={split: dict(sorted(_clips(data, split).items())) for split in SPLITS},
            checks=checks,
            check_s=round(check_s, 1),
            trials=job.search.trials if job.search else 0,
            trainers=quotes,
            refusals=refusals,
        )

    def _checked(self, job: Job, data: DataSet) -> tuple[str, list[str]]:
        """What the data checks say, and what they would refuse. Their pages are not kept."""
        from pipelines.data.checks import check

        self.say("checking the data set with Great Expectations")
        with tempfile.TemporaryDirectory(prefix="modelyard-") as scratch:
            try:
                report = check(data, Path(scratch) / "report", job.data.check_levels)
            except ModelyardError as error:
                return str(error), [str(error)]
        words = f"{len(report.passed)} passed, {len(report.warnings)} warnings, {len(report.errors)} failed"
        return words, [f"{data.folder}: fails its checks: {finding.text}" for finding in report.stopping]


def _most(quotes: Sequence[TrainerQuote], times: int) -> Decimal | None:
    """What the job is quoted at, at most, where it sends its trainers; not known where that is not known of one of them."""
    most = list[Decimal]()
    for quote in quotes:
        known = [row.usd.high for row in quote.places if row.chosen and row.usd]
        caps = [row.usd_at_most for row in quote.places if row.chosen and row.usd_at_most is not None]
        if not (caps or known):
            return None
        most.append(max(caps or known))
    return sum(most, Decimal(0)) * times


def ways_of(config: TrainerConfig, images: int) -> list[str]:
    """The ways to begin that a trainer would try on so many images, in words; of another package's trainer its network."""
    if isinstance(config, TorchTrainer) and not is_detector(config) and find_spec("torch"):
        from pipelines.training.trainers.torch_trial import candidates

        return [
            f"{way.arch} {way.name}, {config.imgsz or (_SCRATCH_SIDE if way.weights == 'scratch' else _PRETRAINED_SIDE)} pixels"
            for way in candidates(config, images)
        ]
    return [config.arch]


def _images(data: DataSet, split: str) -> Counter[str]:
    return Counter(label for row in data.rows(split) for label in row.labels)


def _clips(data: DataSet, split: str) -> Counter[str]:
    return Counter(label for label, _ in {(label, row.clip) for row in data.rows(split) for label in row.labels})
