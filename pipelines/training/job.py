"""The training of a job: its data checked, then each of its trainers, one run each, paid for and registered."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from pipelines.data.catalog import DatasetCatalog
from pipelines.data.dataset import DataSet
from pipelines.evaluation.describe import describe_in_mlflow
from pipelines.identity import whoami
from pipelines.job.policy import set_policy
from pipelines.job.trainers import TrainerConfig
from pipelines.money.budgets import hold_budget
from pipelines.training.held import JobHolder
from pipelines.training.interrupted import book_interrupted, earlier_part
from pipelines.training.kept import TrainingFolder
from pipelines.training.launchers.choose import launched
from pipelines.training.metered import Metered
from pipelines.training.resume import check_resumable, find_training, resumed_data, trainer_of, upload_pending
from pipelines.training.timing import where_of
from pipelines.training.train import train
from pipelines.training.trainers.build import check_networks
from pipelines.training.trainers.classes import check_fit
from pipelines.training.trainers.contract import Choice, Trainer, Watch
from pipelines.training.training import Kept, Training, Trainings
from registry.errors import BusyError, ModelyardError, RefusedError
from registry.events import Trained
from registry.measured import leaked_in_words
from registry.money.prices import local_price
from registry.protocols import Ledger, Store
from registry.records import Actor
from registry.settings import Settings
from registry.spending import TrainingFailed

if TYPE_CHECKING:
    from pipelines.data.dataset import Progress
    from pipelines.home import Say
    from pipelines.job.jobfile import Job
    from registry.mlflow.tracker import Tracker
    from validation.data.suite import DataReport


@dataclass(frozen=True)
class TrainingJob:
    """Trains. The store and the tracker are opened late: what is refused before needs no server."""

    settings: Settings
    ledger: Ledger
    store: Callable[[], Store]
    tracker: Callable[[str], Tracker]
    datasets: DatasetCatalog
    say: Say

    def run(self, job: Job, configs: Sequence[TrainerConfig], data: DataSet, progress: Progress) -> Trainings:
        """Check the data, then train one after the other: two at once would only slow each other down on one machine.

        A trainer that fails does not keep the others from their turn. Raises what the first failed with where all did.
        """
        actor = self._before(job)
        check_fit(job.task, data, lambda _: None)
        adapters = [(config, launched(config, job.launch, self.settings, self.say)) for config in configs]
        check_networks(job, configs, self.settings.tf_python)
        with JobHolder(self.settings, self.ledger, self.say).holding(job, data, adapters, actor) as booked:
            return self._train(job, adapters, data, progress, booked)

    def _train(
        self,
        job: Job,
        adapters: list[tuple[TrainerConfig, Trainer]],
        data: DataSet,
        progress: Progress,
        booked: Callable[[int], None],
    ) -> Trainings:
        """Train what money is held for; `booked` is told how many are paid for."""
        tracker = self._tracker(job.model)
        reports = self.settings.home / "reports" / job.model
        report = check_data(job, data, reports, tracker, self.say, self.datasets)
        actor = whoami(self.settings)
        verdict = report.verdict(data.manifest.digest)
        data = self.datasets.add(data)  # from here on nobody else's `frames` touches its files
        known_as = self.datasets.name_of(data.manifest.digest)
        store, price, kept = self.store(), local_price(self.settings), self._kept()
        if first := set_policy(self.ledger, job, actor, first=True):
            self.say(str(first))
        adopt: Callable[[str], None] = _nobody
        if job.search:
            adapters, adopt = self._searched(job, [config for config, _ in adapters], data, tracker, progress)
        events, failures = list[Trained](), list[ModelyardError]()
        for number, (config, adapter) in enumerate(adapters, 1):
            self.say(f"{config.kind}: training {config.arch}")
            paid = adapter.price if isinstance(adapter, Metered) else price
            training = Training(
                adapter, config, config.kind, data, job.model, paid, actor, verdict, kept, known_as, where_of(job.launch)
            )
            try:
                events.append(train(store, self.ledger, tracker, training, self._watch(config.kind, progress), self.say))
            except ModelyardError as error:
                if len(adapters) == 1:
                    raise  # it is the command's answer, and not said beside it
                failures.append(error)
                self.say(f"{config.kind}: {error}")
                booked(number)
                continue
            booked(number)
            adopt(events[-1].run_id)
            self._describe(store, events[-1])
        if failures and not events:
            raise failures[0]
        return Trainings(events, failures)

    def resume(self, job: Job, run: str, data: DataSet | None, progress: Progress) -> Trained:
        """Go on with a run that was broken off, from its last checkpoint, and register it; `run` is its id's beginning.

        A run that was trained whole is only registered. `data` is what the user named, None for the run's own. Raises
        InputError for a run that cannot be resumed.
        """
        actor = self._before(job)
        folder = find_training(self.settings.trainings, run, self.ledger)
        with folder.locked():  # raises where it trains now
            record = folder.record
        check_resumable(folder, record, job.model)
        if (self.settings.underway / f"{record.run_id}.json").exists():
            why = "is trained by another process now, or what it cost could not be booked"
            raise BusyError(f"run {record.run_id}", why, "wait until it has ended, or see that the ledger can be written")
        config = trainer_of(record)
        adapter = launched(config, job.launch, self.settings, self.say)
        data = resumed_data(record, self.datasets, data)
        tracker, store = self._tracker(job.model), self.store()
        earlier = earlier_part(self.ledger, record.model, record.run_id)
        kept = self._kept(resumes=folder, earlier=earlier if isinstance(earlier, TrainingFailed) else None)
        done, epochs = folder.find_fitted(), max((epoch.number for epoch in folder.history()), default=0)
        begun = f"going on after {epochs} epochs" if folder.has_checkpoint() else "beginning anew, as it left no checkpoint,"
        self.say(f"{config.kind}: {'registering the model' if done else begun} of {record.run_id}")
        price = adapter.price if isinstance(adapter, Metered) else local_price(self.settings)
        verdict = record.verdict
        known_as = self.datasets.name_of(data.manifest.digest)
        training = Training(
            adapter, config, config.kind, data, job.model, price, actor, verdict, kept, known_as, where_of(job.launch)
        )
        left = [] if done else [(config, adapter)]
        with JobHolder(self.settings, self.ledger, self.say).holding(job, data, left, actor):
            event = train(store, self.ledger, tracker, training, self._watch(config.kind, progress), self.say)
        self._describe(store, event)
        return event

    def _describe(self, store: Store, event: Trained) -> None:
        if trouble := describe_in_mlflow(store, self.ledger, event.model, [event.version]):
            self.say(trouble)

    def _before(self, job: Job) -> Actor:
        """Book what others left, and see that there is money to train with; who trains."""
        for line in book_interrupted(self.settings.underway, self.ledger):
            self.say(line)
        actor = whoami(self.settings)
        hold_budget(self.ledger.entries(), job.model, self.say, job.budget, actor.name)
        return actor

    def _watch(self, kind: str, progress: Progress) -> Watch:
        return replace(watching(kind, progress, self.say), cache=self.settings.cache)

    def _tracker(self, model: str) -> Tracker:
        """The model's tracker, once MLflow has what earlier trainings could not tell it."""
        tracker = self.tracker(model)
        for line in upload_pending(self.settings.trainings, self.ledger, self.tracker, self.store, self.say):
            self.say(line)
        return tracker

    def _kept(self, resumes: TrainingFolder | None = None, earlier: TrainingFailed | None = None) -> Kept:
        settings = self.settings
        return Kept(settings.underway, settings.trainings, resumes, earlier, settings.mlflow_patience_s)

    def _searched(
        self, job: Job, configs: Sequence[TrainerConfig], data: DataSet, tracker: Tracker, progress: Progress
    ) -> tuple[list[tuple[TrainerConfig, Trainer]], Callable[[str], None]]:
        """What the job's search found best, to be trained; and what puts its run below the search's."""
        from pipelines.training.search.search import SearchJob

        searching = SearchJob(self.settings, self.ledger, tracker, self.say, progress)
        actor = whoami(self.settings)
        best = searching.run(job, configs, data, actor)
        hold_budget(self.ledger.entries(), job.model, self.say, job.budget, actor.name)
        trainer = launched(best.config, job.launch, self.settings, self.say)
        return [(best.config, trainer)], partial(searching.adopt, best)


def _nobody(_: str) -> None:
    """A run that belongs to no search."""


def check_data(
    job: Job, data: DataSet, reports: Path, tracker: Tracker, say: Say, datasets: DatasetCatalog | None = None
) -> DataReport:
    """Check a data set, put the report into MLflow, and stop a strict job whose data fails a check; leaks are only said."""
    from pipelines.data.checks import check

    say("checking the data set with Great Expectations")
    report = check(data, reports, job.data.check_levels, datasets)
    with tracker.run(f"data {data.manifest.digest[:12]}", {"modelyard.kind": "data"}) as run:
        run.dataset(job.model, data.manifest.digest, str(data.folder.absolute()), "check")
        run.metrics({"frames": len(data.manifest.frames), "errors": len(report.errors), "warnings": len(report.warnings)})
        run.folder(report.docs, "data_docs")
        if report.leaks:
            run.metrics({"leaks": report.leaks, "leaked_share": report.leaked_share})
            run.folder(report.docs.parent / "leaks", "leaks")
    say(f"data checks: {len(report.passed)} passed, {len(report.warnings)} warnings, {len(report.errors)} failed")
    if report.levels.off:
        say(f"data checks that are off: {', '.join(report.levels.off) if report.checked else 'all'}")
    if report.stopping:
        raise RefusedError(data.folder, f"fails its checks: {report.stopping[0].text}", "fix the data, see `modelyard check`")
    if leaked := leaked_in_words(report.verdict(data.manifest.digest)):
        say(_of_leaks(leaked, allowed=job.data.leaks == "allow"))
    return report


def _of_leaks(what: str, *, allowed: bool) -> str:
    """What leaks, that a model is trained all the same, and what the gate will say."""
    priced = "`modelyard evaluate` says what the score is without them"
    if allowed:
        return f"LEAK: {what}, as `data.leaks: allow` allows; {priced}"
    gate = "the gate `data` will refuse the version, see `modelyard data leaks`"
    return f"LEAK: {what}; training goes on, {priced}, and {gate}"


def watching(kind: str, progress: Progress, say: Say) -> Watch:
    """Shows each epoch as it ends, and what the trainer says and chooses."""
    planned = [0]

    def epochs(number: int) -> None:
        planned[0] = number

    def on_epoch(epoch: int, _: Mapping[str, float]) -> None:
        progress(f"{kind}: epochs", epoch, max(planned[0], epoch))

    def choose(choices: Mapping[str, Choice]) -> None:
        say(f"{kind}: chose " + ", ".join(f"{name} {value}" for name, value in choices.items()))

    return Watch(on_epoch, lambda line: say(f"{kind}: {line}"), choose, epochs)
