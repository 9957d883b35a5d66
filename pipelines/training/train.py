"""Training: one run per trainer, logged to MLflow over HTTP, priced, registered."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING

from pipelines.data.dataset import DataSet
from pipelines.evaluation.plots import curves_figure
from pipelines.training.interrupted import Payment, paid_for
from pipelines.training.trainers.contract import Choice, Fitted, Trainer, Watch
from registry.errors import ModelyardError, UnavailableError, shorten
from registry.events import DataChecked, Trained, TrainingFailed, about
from registry.files import storing
from registry.money.prices import Price
from registry.promotion.verdict import digest_version, resolve
from registry.protocols import Ledger, Store
from registry.records import Actor, DataVerdict, ModelVersion, Record
from registry.refs import Ref

if TYPE_CHECKING:
    from registry.mlflow.tracker import RunLog, Tracker

NAME_TAG = "modelyard.trainer"
TASK_TAG = "modelyard.task"


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
    store: Store, ledger: Ledger, tracker: Tracker, training: Training, watch: Watch, say: Callable[[str], None]
) -> Trained:
    """Run one training. The run is marked failed, or killed on Ctrl-C, when it does not end well; it is paid for either way.

    A run is done when the ledger says what it cost: what fails after that costs nothing again.
    """
    data, kind = training.data, training.kind
    tags = {TASK_TAG: data.manifest.task, NAME_TAG: kind}
    with tempfile.TemporaryDirectory(prefix="modelyard-") as scratch, tracker.run(kind, tags) as run:
        run.params(training.config.model_dump(mode="json") | {"dataset": data.manifest.digest})
        for split in ("train", "val"):
            run.dataset(training.model, data.manifest.digest, str(data.folder.absolute()), split)
        with _paid(training, ledger, run) as payment:
            fitted, history = _fit(training, Path(scratch), run, watch)
            used = payment.measure()
            say(f"{kind}: trained{_score(history)}")
            run.metrics(_price_of(used))
            run.tags({"modelyard.price": f"{training.price.usd_per_hour} USD/h ({training.price.source})"})
            run.figure(curves_figure(history), "plots/curves.png")
            if fitted.extras:
                run.folder(fitted.extras, "training")
            say(f"{kind}: logging and registering the model")
            number = run.model(fitted.folder, kind, training.model, data.manifest.task)
            version = resolve(store, Ref(training.model, number))
            event = _trained(training, version, digest_version(store, version), used)
            payment.book([event, DataChecked(**about(version, event.digest), verdict=training.verdict)])
    return event


@contextmanager
def _paid(training: Training, ledger: Ledger, run: RunLog) -> Generator[Payment]:
    """Pays for what happens within the block, and shows on the run what a failure cost."""
    killed, payment = _failed(training, run.run_id, "its process was killed"), None
    try:
        with paid_for(training.underway, ledger, training.price, killed, training.verdict.dataset) as payment:
            yield payment
    except BaseException:
        if payment:
            with suppress(ModelyardError):  # the server may be what failed
                run.metrics(_price_of(payment.event))
        raise


def _score(history: list[Mapping[str, float]]) -> str:
    for name, words in (("val_top1", "top-1"), ("val_map50_95", "mAP50-95")):
        if values := [epoch[name] for epoch in history if name in epoch]:
            return f" (val {words} {max(values):.3f})"
    return ""


def _price_of(used: TrainingFailed) -> dict[str, float]:
    return {"train_seconds": used.seconds, "cost_usd": float(used.usd)}


def _trained(training: Training, version: ModelVersion, digest: str, used: TrainingFailed) -> Trained:
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
    )


def _failed(training: Training, run_id: str, reason: str) -> TrainingFailed:
    """A run that came to nothing, before it is known what it cost."""
    return TrainingFailed(
        model=training.model,
        trainer=training.kind,
        run_id=run_id,
        seconds=0.0,
        hardware=f"{training.price.provider}: {training.price.hardware}",
        usd=Decimal(0),
        price_as_of=training.price.as_of.isoformat(),
        reason=reason,
        actor=training.actor.name,
        proven=training.actor.proven,
    )


def _fit(training: Training, work: Path, run: RunLog, watch: Watch) -> tuple[Fitted, list[Mapping[str, float]]]:
    """Fit, logging each epoch as it ends, and what the trainer's defaults came to."""
    history: list[Mapping[str, float]] = []

    def log(epoch: int, metrics: Mapping[str, float]) -> None:
        history.append({"epoch": epoch, **metrics})
        run.metrics(metrics, epoch)
        watch.on_epoch(epoch, metrics)

    def choose(choices: Mapping[str, Choice]) -> None:
        run.params({f"chosen.{name}": value for name, value in choices.items()})
        watch.choose(choices)

    with _training_errors(training.kind):
        fitted = training.trainer.fit(training.data, work, replace(watch, on_epoch=log, choose=choose))
    if not history:
        raise ModelyardError(f"{training.kind} trainer", "ended without a single epoch", "see its output above")
    return fitted, history


@contextmanager
def _training_errors(kind: str) -> Generator[None]:
    """The border to the frameworks that train: a network they miss, or a full disk, in one line. A bug stays what it is.

    What goes wrong with MLflow meanwhile is an error of ours already.
    """
    try:
        with storing(f"{kind} trainer"):
            yield
    except OSError as error:
        why = f"could not reach or use what it needs ({type(error).__name__}: {shorten(error, 160)})"
        raise UnavailableError(f"{kind} trainer", why, "see its output above") from error
