"""What is to be trained, and what the ledger says of a run: what it cost, and the version that it ended in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

from pipelines.data.dataset import DataSet
from pipelines.training.code import code_tags
from pipelines.training.kept import TrainingFolder
from pipelines.training.naming import first_name
from pipelines.training.trainers.contract import Trainer
from registry.errors import ModelyardError
from registry.events import Trained, TrainingFailed, about
from registry.money.prices import Price
from registry.records import Actor, DataVerdict, ModelVersion, Record, Timing

NAME_TAG = "modelyard.trainer"
TASK_TAG = "modelyard.task"
DATASET_TAG = "modelyard.dataset"
"""The data set's version, as in hand@2; its digest is the parameter `dataset`."""
VERSION_TAG = "modelyard.version"
"""The number of the version that the run ended in."""


@dataclass(frozen=True, slots=True)
class Kept:
    """Where a home keeps what outlives a training's process. None: nothing is kept, and nothing can be resumed.

    In `underway` a run is noted until it is paid for, in `trainings` each has its folder. `resumes` is the folder of a run that
    goes on, `earlier` what was paid for it. `patience` is for how many seconds its end waits for an MLflow server that is away.
    """

    underway: Path | None = None
    trainings: Path | None = None
    resumes: TrainingFolder | None = None
    earlier: TrainingFailed | None = None
    patience: float = 60.0


@dataclass(frozen=True, slots=True)
class Trainings:
    """What became of a job's trainers: the versions that were registered, and what the others failed with."""

    events: Sequence[Trained]
    failures: Sequence[ModelyardError] = ()


@dataclass(frozen=True, slots=True)
class Training:
    """What is to be trained: a trainer and its config, on a data set, for a registered model, at a price.

    `known_as` is the data set's version in words, as in hand@2; `where` is where it trains, as timings name it, "" where that
    is the hardware that it was paid for.
    """

    trainer: Trainer
    config: Record
    kind: str
    data: DataSet
    model: str
    price: Price
    actor: Actor
    verdict: DataVerdict
    kept: Kept = Kept()
    known_as: str = ""
    where: str = ""

    @property
    def dataset(self) -> str:
        """What the run's data set is called."""
        return self.known_as or self.data.manifest.digest[:12]

    @property
    def name(self) -> str:
        """What its run is called while it trains."""
        return first_name(self.config, self.kind)

    @property
    def tags(self) -> dict[str, str]:
        """What its run says of itself from the beginning."""
        return {TASK_TAG: self.data.manifest.task, NAME_TAG: self.kind, DATASET_TAG: self.dataset} | code_tags(Path.cwd())

    @property
    def params(self) -> Mapping[str, object]:
        """What it was told."""
        return self.config.model_dump(mode="json") | {"dataset_version": self.dataset}


def price_of(used: TrainingFailed) -> dict[str, float]:
    """A run's metrics of what it cost."""
    return {"train_seconds": used.seconds, "cost_usd": float(used.usd)}


def trained_event(
    training: Training, version: ModelVersion, digest: str, used: TrainingFailed, timing: Timing | None = None
) -> Trained:
    """A version, at what its run used."""
    return Trained(
        **about(version, digest),
        trainer=training.kind,
        run_id=used.run_id,
        dataset=training.data.manifest.digest,
        seconds=used.seconds,
        hardware=used.hardware,
        usd=used.usd,
        price_as_of=used.price_as_of,
        actor=training.actor.name,
        proven=training.actor.proven,
        timing=timing,
    )


def failed_event(training: Training, run_id: str, reason: str) -> TrainingFailed:
    """A run that came to nothing, at what an earlier part of it cost: what this part costs is not known yet."""
    earlier = training.kept.earlier
    return TrainingFailed(
        model=training.model,
        trainer=training.kind,
        run_id=run_id,
        seconds=earlier.seconds if earlier else 0.0,
        hardware=f"{training.price.provider}: {training.price.hardware}",
        usd=earlier.usd if earlier else Decimal(0),
        price_as_of=training.price.as_of.isoformat(),
        reason=reason,
        actor=training.actor.name,
        proven=training.actor.proven,
    )
