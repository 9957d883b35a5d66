"""Ray Tune with Optuna's sampler and ASHA: which trials run, and when one is stopped."""

from __future__ import annotations

import logging
import os
import tempfile
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import optuna
import ray
from optuna.samplers import TPESampler
from ray import tune
from ray.tune import Callback
from ray.tune.schedulers import ASHAScheduler, FIFOScheduler
from ray.tune.search.optuna import OptunaSearch
from ray.tune.stopper import NoopStopper, Stopper

from pipelines.job.launch_ray import RayLaunch
from pipelines.job.search import WHICH, Range, Search, sampled_trainer
from pipelines.job.trainers import TrainerConfig
from pipelines.training.search.book import TrialBook
from pipelines.training.search.trial import TrialPlan, run_trial

_Callback: Any = Callback  # Tune calls it by keywords only
_MOST_STEPS = 1_000_000
_LOGGERS = ("ray.tune", "ray.air", "ray.train", "ray.data")


@dataclass(frozen=True, slots=True)
class Tuning:
    """A search that is ready to run: what it varies, in which trainers, and where. `goes_on` False stops all of it."""

    search: Search
    trainers: Sequence[TrainerConfig]
    launch: RayLaunch
    plan: TrialPlan
    goes_on: Callable[[], bool]
    ended: Callable[[], None]

    def run(self, book: TrialBook) -> None:
        """Run the trials of the search, in Ray's workers; the book is told of each from this thread."""
        for name in _LOGGERS:
            logging.getLogger(name).setLevel(logging.CRITICAL)
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        search, launch = self.search, self.launch
        resources: dict[str, float] = {"cpu": launch.cpus} | ({"gpu": launch.gpus} if launch.gpus else {})
        trainable = tune.with_resources(
            tune.with_parameters(_trial, plan=self.plan, search=search, trainers=self.trainers), resources
        )
        with warnings.catch_warnings(), tempfile.TemporaryDirectory(prefix="modelyard-search-") as scratch:
            warnings.simplefilter("ignore")  # of a step that a second attempt reports again, and of interfaces to come
            os.environ["RAY_CHDIR_TO_TRIAL_DIR"] = "0"
            tuner = tune.Tuner(
                trainable,
                tune_config=tune.TuneConfig(
                    search_alg=self._sampler(),
                    scheduler=self._scheduler(),
                    num_samples=search.trials,
                    max_concurrent_trials=parallel_trials(search, launch),
                    time_budget_s=search.max_minutes * 60 if search.max_minutes else None,
                ),
                run_config=tune.RunConfig(
                    name="search",
                    storage_path=scratch,
                    verbose=0,
                    callbacks=[_Booking(book, self)],
                    stop=_While(self.goes_on),
                    failure_config=tune.FailureConfig(max_failures=launch.retries),
                ),
            )
            tuner.fit()

    def _sampler(self) -> OptunaSearch:
        """Optuna's tree of Parzen estimators over the space, each trial a whole trainer."""
        space = _Space(self.search, self.trainers)
        return OptunaSearch(space=space, metric="score", mode="max", sampler=TPESampler(seed=self.search.seed))

    def _scheduler(self) -> ASHAScheduler | FIFOScheduler:
        grace = self.search.grace_epochs
        if self.search.folds and grace >= self.search.folds:
            return FIFOScheduler()
        return ASHAScheduler(time_attr="step", metric="score", mode="max", max_t=_MOST_STEPS, grace_period=grace)


@dataclass(frozen=True, slots=True)
class _Space:
    """What Optuna is asked for: a class, because Tune keeps it on disk and a function within a function cannot be kept."""

    search: Search
    trainers: Sequence[TrainerConfig]

    def __call__(self, trial: optuna.Trial) -> None:
        if len(self.trainers) > 1:
            trial.suggest_categorical(WHICH, list(range(len(self.trainers))))
        for key, values in self.search.space.items():
            if not isinstance(values, Range):
                trial.suggest_categorical(key, values)
            elif values.whole:
                trial.suggest_int(key, int(values.min), int(values.max), log=values.log)
            else:
                trial.suggest_float(key, values.min, values.max, log=values.log)


def parallel_trials(search: Search, launch: RayLaunch) -> int:
    """How many trials run at once on the cluster that this process is connected to."""
    cores = float(ray.cluster_resources().get("CPU", 1))
    room = max(1, int(cores // launch.cpus))
    return min(search.parallel or room, room, search.trials)


def _trial(config: dict[str, Any], plan: TrialPlan, search: Search, trainers: Sequence[TrainerConfig]) -> None:
    """In the worker."""
    trainer, _ = sampled_trainer(search, trainers, config)
    run_trial(trainer.model_dump(mode="json"), plan, tune.report)


class _Booking(_Callback):
    """Tells the book what Tune tells, always by keywords."""

    def __init__(self, book: TrialBook, tuning: Tuning) -> None:
        self._book, self._tuning = book, tuning

    def __reduce__(self) -> tuple[type[Callback], tuple[()]]:
        """Tune keeps a copy of itself on disk, to restore a search that we never restore: the books do not belong there."""
        return Callback, ()

    def on_trial_start(self, **about: Any) -> None:
        trial = about["trial"]
        config, varied = sampled_trainer(self._tuning.search, self._tuning.trainers, trial.config)
        self._book.begin(trial.trial_id, config.model_dump(mode="json"), varied)

    def on_trial_result(self, **about: Any) -> None:
        self._book.report(about["trial"].trial_id, about["result"])

    def on_trial_complete(self, **about: Any) -> None:
        self._end(about["trial"].trial_id, "")

    def on_trial_error(self, **about: Any) -> None:
        self._end(about["trial"].trial_id, f"lost its worker {self._tuning.launch.retries + 1} times")

    def _end(self, key: str, why: str) -> None:
        self._book.end(key, why)
        self._tuning.ended()


class _While(Stopper):
    """Stops everything once somebody says so."""

    def __init__(self, goes_on: Callable[[], bool]) -> None:
        self._goes_on = goes_on

    def __reduce__(self) -> tuple[type[NoopStopper], tuple[()]]:
        return NoopStopper, ()

    def __call__(self, *_: Any) -> bool:
        return False

    def stop_all(self) -> bool:
        return not self._goes_on()
