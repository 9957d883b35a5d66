"""Training: one run per trainer, logged to MLflow over HTTP, priced, registered; and going on with one that was broken off.

What a run needs to go on lies in its folder of the home (`pipelines.training.kept`), so each step may be the last of its
process: whoever resumes it finds the earlier steps done, repeats the one that was broken off, and ends with one version and one
sum of money.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Generator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from pipelines.evaluation.describe import describe_broken
from pipelines.evaluation.plots import curves_figure
from pipelines.training.interrupted import Payment, earlier_part, paid_for
from pipelines.training.kept import TrainingFolder, TrainingRecord
from pipelines.training.metered import Metered
from pipelines.training.naming import distinct_name, full_name
from pipelines.training.spool import SpooledRun, clock_ms
from pipelines.training.timing import TrainingClock, recipe_of, untold_epochs
from pipelines.training.trainers.contract import Choice, Fitted, Watch
from pipelines.training.trainers.failures import training_errors
from pipelines.training.training import VERSION_TAG, Training, failed_event, price_of, trained_event
from registry.errors import ModelyardError, NotFoundError, UnavailableError
from registry.events import DataChecked, Trained, about
from registry.promotion.verdict import digest_version, resolve
from registry.protocols import Ledger, Store
from registry.records import ModelVersion, Timing
from registry.refs import Ref
from registry.spending import TrainingFailed

if TYPE_CHECKING:
    from registry.mlflow.tracker import RunLog, Tracker


def train(
    store: Store, ledger: Ledger, tracker: Tracker, training: Training, watch: Watch, say: Callable[[str], None]
) -> Trained:
    """Run one training. The run is marked failed, or killed on Ctrl-C, when it does not end well; it is paid for either way.

    A run is done when the ledger says what it cost: what fails after that costs nothing again, and MLflow is told later.
    """
    kind, resumes, done = training.kind, training.kept.resumes, list[Trained]()
    with ExitStack() as locks:
        log: RunLog | None = None
        folder = resumes
        if folder:
            locks.enter_context(folder.locked())
        try:
            with tracker.reopen(resumes.path.name) if resumes else tracker.run(training.name, training.tags) as log:
                if not folder and (folder := _begin(training, log.run_id)):
                    locks.enter_context(folder.locked())
                run = SpooledRun(log, folder, say, training.kept.patience)
                with run.sending():
                    done.append(_Run(store, ledger, training, tracker, log, run, say).train(watch))
        except UnavailableError as error:
            if not done:
                raise
            say(f"{error.subject} {error.expectation}: it is told later how run {done[0].run_id} ended")
        except BaseException:
            if folder and folder.resumable:
                say(f"{kind}: `modelyard train --resume {folder.path.name}` goes on with it")
            raise
        finally:
            if log is not None and log.ended:
                if folder:
                    _settle(folder, ledger, done=bool(done))
                if not done:
                    _explain(store, ledger, training.model, log.run_id, folder)
    return done[0]


def _begin(training: Training, run_id: str) -> TrainingFolder | None:
    """Make the folder of a new run."""
    if training.kept.trainings is None:
        return None
    config = training.config.model_dump(mode="json")
    digest, lay = training.data.manifest.digest, str(training.data.folder.absolute())
    fields = {"run_id": run_id, "model": training.model, "kind": training.kind, "config": config, "dataset": digest}
    record = TrainingRecord.model_validate(fields | {"folder": lay, "verdict": training.verdict})
    return TrainingFolder.begin(training.kept.trainings.absolute(), record)


def _settle(folder: TrainingFolder, ledger: Ledger, *, done: bool) -> None:
    """MLflow was told how the run ended. What is not settled now is looked at again by the next command.

    So is a run that MLflow was told has failed, and that is paid for: an error came when its row was written already.
    """
    with suppress(Exception):  # a ledger fails in its driver's ways; what went wrong first is raised
        if done and not folder.spool.exists():
            folder.remove()
        elif not done and not isinstance(earlier_part(ledger, folder.record.model, folder.path.name), Trained):
            folder.close()


def _explain(store: Store, ledger: Ledger, model: str, run_id: str, folder: TrainingFolder | None) -> None:
    """Say on the run's page how it was broken off; what goes wrong with that changes nothing."""
    with suppress(Exception):
        part = earlier_part(ledger, model, run_id)
        if not isinstance(part, Trained):
            describe_broken(store, run_id, part, resumable=folder is not None and folder.resumable)


@dataclass(frozen=True, slots=True)
class _Run:
    """One run while it is open: `log` is MLflow's own, `run` the same with a spool before it."""

    store: Store
    ledger: Ledger
    training: Training
    tracker: Tracker
    log: RunLog
    run: SpooledRun
    say: Callable[[str], None]

    def train(self, watch: Watch) -> Trained:
        """Train or go on with it, log, register, pay."""
        training, run = self.training, self.run
        data, kind = training.data, training.kind
        run.params({**training.params, "dataset": data.manifest.digest})
        for split in ("train", "val"):
            run.dataset(training.dataset, data.manifest.digest, str(data.folder.absolute()), split)
        with tempfile.TemporaryDirectory(prefix="modelyard-") as scratch, self._paid() as payment:
            clock = TrainingClock(planned=untold_epochs(training.config))
            fitted, history = self._fitted(Path(scratch), clock.follow(watch), payment)
            used = payment.measure()
            self.say(f"{kind}: trained{_score(history)}")
            run.metrics({**price_of(used), **fitted.figures})
            self.say(f"{kind}: its run is called '{self._name(fitted)}'")
            run.tags({"modelyard.price": f"{training.price.usd_per_hour} USD/h ({training.price.source})"})
            run.figure(curves_figure(history), "plots/curves.png")
            if fitted.extras:
                run.folder(fitted.extras, "training")
            self.say(f"{kind}: logging and registering the model")
            version, digest = self._registered(fitted)
            run.tags({VERSION_TAG: str(version.version)})
            event = trained_event(training, version, digest, used, self._timing(clock, used))
            payment.book([event, DataChecked(**about(version, event.digest), verdict=training.verdict)])
        return event

    def _timing(self, clock: TrainingClock, used: TrainingFailed) -> Timing | None:
        """How the time went by that was paid for; None of a run that was broken off, whose clock saw only a part of it."""
        training = self.training
        if training.kept.resumes:
            return None
        images = len(training.data.rows("train"))
        return clock.timing(training.where or used.hardware, recipe_of(training.config), images, used.seconds)

    def _name(self, fitted: Fitted) -> str:
        """Name the run by what was trained, so that no other training of the model is called the same; its name.

        Where MLflow is away, it is not known what others are called.
        """
        training = self.training
        name = full_name(fitted, training.config, training.kind)
        with suppress(ModelyardError):
            name = distinct_name(name, training.params, self.tracker.named(name, without=self.log.run_id))
        self.run.rename(name)
        return name

    def _fitted(self, work: Path, watch: Watch, payment: Payment) -> tuple[Fitted, list[Mapping[str, float]]]:
        """What training leaves, where it outlives this process, and its epochs; nothing is trained again that is there."""
        folder = self.run.kept
        if folder is None:
            return self._fit(work, watch)
        if (fitted := folder.find_fitted()) is not None:
            payment.free()
            self._repeat_epochs(folder)
            return fitted, [{"epoch": epoch.number, **epoch.metrics} for epoch in folder.history()]
        folder.checkpoints.mkdir(exist_ok=True)
        self._repeat_epochs(folder)
        fitted, history = self._fit(work, replace(watch, checkpoints=folder.checkpoints))
        payment.measure()
        return folder.keep(fitted), history

    def _repeat_epochs(self, folder: TrainingFolder) -> None:
        """A process that was killed may not have delivered its last ones; MLflow keeps what it has but once."""
        for epoch in folder.history() if self.training.kept.resumes else ():
            self.run.metrics(epoch.metrics, epoch.number, epoch.stamp)

    def _fit(self, work: Path, watch: Watch) -> tuple[Fitted, list[Mapping[str, float]]]:
        """Fit, logging each epoch as it ends, and what the trainer's defaults came to.

        An epoch that a process before has reported, and that was trained again from an earlier checkpoint, is not logged twice.
        """
        run, folder = self.run, self.run.kept
        history = {epoch.number: epoch.metrics for epoch in folder.history()} if folder else {}

        def log(epoch: int, metrics: Mapping[str, float]) -> None:
            if epoch not in history:
                history[epoch], stamp = metrics, clock_ms()
                if folder:
                    folder.add_epoch(epoch, stamp, metrics)
                run.metrics(metrics, epoch, stamp)
            watch.on_epoch(epoch, metrics)

        def choose(choices: Mapping[str, Choice]) -> None:
            run.params({f"chosen.{name}": value for name, value in choices.items()})
            watch.choose(choices)

        training = self.training
        with training_errors(training.kind):
            fitted = training.trainer.fit(training.data, work, replace(watch, on_epoch=log, choose=choose))
        if not history:
            raise ModelyardError(f"{training.kind} trainer", "ended without a single epoch", "see its output above")
        return fitted, [{"epoch": epoch, **history[epoch]} for epoch in sorted(history)]

    def _registered(self, fitted: Fitted) -> tuple[ModelVersion, str]:
        """The run's version and its digest. A server that is away is waited for; the trained model stays in the home."""

        def register() -> tuple[ModelVersion, str]:
            self.run.flush()
            version = self._version_before() or self._register(fitted)
            return version, digest_version(self.store, version)

        try:
            return self.run.patiently(register)
        except UnavailableError as error:
            if self.run.kept is None:
                raise
            what = f"{error.expectation}, and the trained model waits in {self.run.kept.path}"
            remedy = f"{error.remedy}, then `modelyard train --resume {self.log.run_id}` registers it"
            raise UnavailableError(error.subject, what, remedy) from error

    def _register(self, fitted: Fitted) -> ModelVersion:
        number = self.log.model(fitted.folder, self.training.kind, self.training.model, self.training.data.manifest.task)
        return resolve(self.store, Ref(self.training.model, number))

    def _version_before(self) -> ModelVersion | None:
        """The version that this run has registered already, before its process was killed or an answer was lost."""
        try:
            versions = self.store.versions(self.training.model)
        except NotFoundError:
            return None
        return next((version for version in versions if version.run_id == self.log.run_id), None)

    @contextmanager
    def _paid(self) -> Generator[Payment]:
        """Pays for what happens within the block, and shows on the run what a failure cost."""
        training, payment = self.training, None
        killed = failed_event(training, self.log.run_id, "its process was killed")
        try:
            with paid_for(training.kept.underway, self.ledger, training.price, killed, training.verdict.dataset) as payment:
                trainer = training.trainer
                payment.meter = (lambda: trainer.used) if isinstance(trainer, Metered) else None
                yield payment
        except BaseException:
            if payment:
                with suppress(ModelyardError, OSError):  # the server, or the disk, may be what failed
                    self.run.metrics(price_of(payment.event))
            raise


def _score(history: list[Mapping[str, float]]) -> str:
    for name, words in (("val_top1", "top-1"), ("val_map50_95", "mAP50-95")):
        if values := [epoch[name] for epoch in history if name in epoch]:
            return f" (val {words} {max(values):.3f})"
    return ""
