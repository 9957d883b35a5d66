"""A search from the job's section to the best settings: one parent run in MLflow, a run and a booking each trial."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines.data.dataset import MANIFEST, DataSet
from pipelines.job.launch import LocalLaunch
from pipelines.job.launch_ray import RayLaunch
from pipelines.job.search import Search
from pipelines.money.budgets import hold_budget
from pipelines.training.launchers.archives import pack
from pipelines.training.launchers.ray_cluster import check_ray, cluster
from pipelines.training.launchers.ray_worker import Shipment
from pipelines.training.search.book import PARENT, SearchAccount, TrialBook
from pipelines.training.search.folds import folds_of, without_test
from pipelines.training.search.trial import TrialPlan
from registry.errors import InputError, ModelyardError, RefusedError
from registry.money.prices import Price, local_price
from registry.records import Actor
from registry.runs.rows import KIND, SEARCH

if TYPE_CHECKING:
    from pipelines.data.dataset import Progress
    from pipelines.home import Say
    from pipelines.job.jobfile import Job
    from pipelines.job.trainers import TrainerConfig
    from registry.mlflow.tracker import Tracker
    from registry.protocols import Ledger
    from registry.settings import Settings


@dataclass(frozen=True, slots=True)
class SearchOutcome:
    """What a search came to: the best settings, their score, the parent run, and what all trials cost."""

    config: TrainerConfig
    score: float
    run_id: str
    trials: int
    usd: Decimal


@dataclass(frozen=True)
class SearchJob:
    """Searches. The test split goes nowhere: neither trials nor their machines have it."""

    settings: Settings
    ledger: Ledger
    tracker: Tracker
    say: Say
    progress: Progress

    def run(self, job: Job, configs: Sequence[TrainerConfig], data: DataSet, actor: Actor) -> SearchOutcome:
        """Run the trials, and say which settings did best.

        Raises ModelyardError where no trial had a score, and RefusedError where the budget ended before one had.
        """
        search, launch = search_of(job), search_launch(job)
        check_ray()
        folds = folds_of(data, search.folds, search.seed) if search.folds else []
        tags = {KIND: SEARCH, "modelyard.search": job.model}
        with cluster(launch.address), self.tracker.run(f"search of {job.model}", tags) as run:
            run.params({f"search.{key}": json.dumps(value) for key, value in search.model_dump(mode="json").items()})
            run.dataset(job.model, data.manifest.digest, str(data.folder.absolute()), "search")
            price = trial_price(self.settings, search, launch)
            account = SearchAccount(
                job.model, data.manifest.digest, price, actor, self.settings.underway, self.settings.mlflow_patience_s
            )
            book = TrialBook(self.ledger, self.tracker, account, run.run_id, search.metric, self.say)
            if folds:
                book.averages()
            self._tune(job, configs, self._plan(search, launch, data, folds), book)
            best = book.best
            if best is None:
                failed = next((trial.failed for trial in book.trials.values() if trial.failed), "none was started")
                raise ModelyardError("search", f"no trial has a score: {failed}", "fix that and run it again")
            run.metrics({"best_score": best.score, "trials": len(book.trials), "cost_usd": float(book.usd)})
            run.tags({"modelyard.best": str(best.number)})
        config = next(c for c in configs if c.kind == best.trainer["kind"])
        config = type(config).model_validate(best.trainer)
        self.say(f"search: trial {best.number} did best of {len(book.trials)}, {search.metric} {best.score:.4f}: {best.varied}")
        return SearchOutcome(config, best.score, run.run_id, len(book.trials), book.usd)

    def _tune(self, job: Job, configs: Sequence[TrainerConfig], plan: TrialPlan, book: TrialBook) -> None:
        """The trials, until all are done, the time is over, or the budget is used. What is still open is booked."""
        from pipelines.training.search.tuning import Tuning

        search, launch, refused = search_of(job), search_launch(job), list[RefusedError]()

        def ended() -> None:
            self.progress("trials", sum(trial.ended for trial in book.trials.values()), search.trials)
            try:
                hold_budget(self.ledger.entries(), job.model, lambda _: None, job.budget, book.account.actor.name)
            except RefusedError as error:
                refused.append(error)

        try:
            Tuning(search, configs, launch, plan, lambda: not refused, ended).run(book)
        finally:
            book.close()
        if refused:
            self.say(f"search: stopped after {len(book.trials)} trials, as {refused[0].expectation}")

    def _plan(self, search: Search, launch: RayLaunch, data: DataSet, folds: Sequence[DataSet]) -> TrialPlan:
        """What the trials share; the data set as one archive."""
        visible = without_test(data)
        rows = visible.manifest.frames
        with tempfile.TemporaryDirectory(prefix="modelyard-") as scratch:
            files = list(zip([row.file for row in rows], data.files(rows), strict=True))
            archive = pack(Path(scratch) / "data.tar", files, {MANIFEST: json.dumps(visible.manifest.document())})
            shipment = Shipment.of(archive, data.name)
        child: dict[str, Any] = {"memory_gb": launch.memory_gb, "device": launch.device}
        manifests = [part.manifest.document() for part in folds]
        return TrialPlan(shipment, manifests, search.metric, child, str(self.settings.tf_python.absolute()))

    def adopt(self, outcome: SearchOutcome, run_id: str) -> None:
        """Put the training of the best settings below the search's run."""
        with self.tracker.resume(run_id) as run:
            run.tags({PARENT: outcome.run_id})


def search_of(job: Job) -> Search:
    """The job's section."""
    if job.search is None:
        raise InputError("search:", "is not in the job file", "see `modelyard schema`")
    return job.search


def search_launch(job: Job) -> RayLaunch:
    """Where trials run: on the job's cluster, or on one of this machine's own."""
    if isinstance(job.launch, RayLaunch):
        return job.launch
    if isinstance(job.launch, LocalLaunch):
        return RayLaunch(address="local", device=job.launch.device, memory_gb=job.launch.memory_gb)
    why = f"runs on Ray, not on {job.launch.kind}"
    raise InputError("search:", why, "write `launch: {kind: ray}`, and train the best on pods afterwards")


def trial_price(settings: Settings, search: Search, launch: RayLaunch) -> Price:
    """What a trial costs by the hour: as the job says, or its share of this machine."""
    from pipelines.training.launchers.ray import cluster_price
    from pipelines.training.search.tuning import parallel_trials

    if launch.usd_per_hour is not None:
        return cluster_price(launch)
    whole = local_price(settings)
    return whole.model_copy(update={"usd_per_hour": whole.usd_per_hour / parallel_trials(search, launch)})
