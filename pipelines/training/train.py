"""Training: one run per trainer, logged to MLflow over HTTP, priced, registered."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pipelines.data.dataset import DataSet
from pipelines.evaluation.plots import curves_figure
from pipelines.training.interrupted import tracked_on_disk
from pipelines.training.trainers.contract import Fitted, OnEpoch, Trainer
from registry.amounts import round_usd
from registry.errors import ModelyardError, shorten
from registry.events import DataChecked, Trained, TrainingFailed, about
from registry.money.billing import cost
from registry.money.prices import Price
from registry.promotion.verdict import digest_version, resolve
from registry.protocols import Ledger, Store
from registry.records import Actor, DataVerdict, Record
from registry.refs import Ref

if TYPE_CHECKING:
    from registry.mlflow.tracker import RunLog, Tracker

NAME_TAG = "modelyard.trainer"


@dataclass(frozen=True, slots=True)
class Training:
    """What is to be trained: a trainer and its config, on a data set, for a registered model, at a price.

    In the folder `underway` a run that trains is noted, so that one whose process is killed is paid for too.
    """

    trainer: Trainer
    config: Record
    kind: str
    data: DataSet
    model: str
    price: Price
    actor: Actor
    verdict: DataVerdict
    underway: Path | None = None


def train(
    store: Store, ledger: Ledger, tracker: Tracker, training: Training, on_epoch: OnEpoch, say: Callable[[str], None]
) -> Trained:
    """Run one training. The run is marked failed and nothing is registered when it does not end well."""
    data, kind = training.data, training.kind
    with tempfile.TemporaryDirectory(prefix="modelyard-") as scratch, tracker.run(kind, {NAME_TAG: kind}) as run:
        run.params(training.config.model_dump(mode="json") | {"dataset": data.manifest.digest})
        for split in ("train", "val"):
            run.dataset(training.model, data.manifest.digest, str(data.folder.absolute()), split)
        began = time.monotonic()
        killed = _failed(training, run.run_id, 0.0, "its process was killed")
        with tracked_on_disk(training.underway, training.price, killed):
            try:
                fitted, history = _fit(training, Path(scratch), run, on_epoch)
            except BaseException as error:  # Ctrl-C too: what was used is paid
                _record_failure(ledger, training, run, time.monotonic() - began, error)
                raise
        seconds = time.monotonic() - began
        spent = round_usd(cost(seconds, training.price))
        run.metrics({"train_seconds": seconds, "cost_usd": float(spent)})
        run.tags({"modelyard.price": f"{training.price.usd_per_hour} USD/h ({training.price.source})"})
        run.figure(curves_figure(history), "plots/curves.png")
        if fitted.extras:
            run.folder(fitted.extras, "training")
        say(f"{kind}: logging and registering the model")
        number = run.model(fitted.folder, kind, training.model)
    version = resolve(store, Ref(training.model, number))
    event = Trained(
        **about(version, digest_version(store, version)),
        trainer=kind,
        run_id=run.run_id,
        dataset=data.manifest.digest,
        seconds=seconds,
        hardware=f"{training.price.provider}: {training.price.hardware}",
        usd=spent,
        price_as_of=training.price.as_of.isoformat(),
        actor=training.actor.name,
        proven=training.actor.proven,
    )
    ledger.append(event)
    ledger.append(DataChecked(**about(version, event.digest), verdict=training.verdict))
    return event


def _record_failure(ledger: Ledger, training: Training, run: RunLog, seconds: float, error: BaseException) -> None:
    """What a run cost that came to nothing; a ledger that cannot be written is not what the user has to hear of first."""
    event = _failed(training, run.run_id, seconds, shorten(error) or type(error).__name__)
    with suppress(ModelyardError):
        ledger.append(event)
        run.metrics({"train_seconds": seconds, "cost_usd": float(event.usd)})


def _failed(training: Training, run_id: str, seconds: float, reason: str) -> TrainingFailed:
    return TrainingFailed(
        model=training.model,
        trainer=training.kind,
        run_id=run_id,
        seconds=seconds,
        hardware=f"{training.price.provider}: {training.price.hardware}",
        usd=round_usd(cost(seconds, training.price)),
        price_as_of=training.price.as_of.isoformat(),
        reason=reason,
        actor=training.actor.name,
        proven=training.actor.proven,
    )


def _fit(training: Training, work: Path, run: RunLog, on_epoch: OnEpoch) -> tuple[Fitted, list[Mapping[str, float]]]:
    """Fit, logging each epoch as it ends."""
    history: list[Mapping[str, float]] = []

    def log(epoch: int, metrics: Mapping[str, float]) -> None:
        history.append(metrics)
        run.metrics(metrics, epoch)
        on_epoch(epoch, metrics)

    fitted = training.trainer.fit(training.data, work, log)
    if not history:
        raise ModelyardError(f"{training.kind} trainer", "ended without a single epoch", "see its output above")
    return fitted, history
