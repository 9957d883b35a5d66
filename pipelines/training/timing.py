"""Where a training's time goes: what it takes whatever the number of its epochs, and what each of them takes."""

from __future__ import annotations

import json
import platform
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from pipelines.job.launch_ray import RayLaunch
from pipelines.job.launch_runpod import RunPodLaunch
from pipelines.job.launches import LaunchConfig
from pipelines.job.other_trainers import OtherTrainer
from pipelines.training.trainers.contract import Watch
from registry.records import Record, Timing

HERE = f"local {platform.node()}"
"""This machine, as timings name it."""
_TELLING = 5
"""Reports from which on halves can be compared."""
_NO_MATTER = {"epochs", "seed", "lr0", "fliplr", "weights_sha256"}
"""What a trainer is told that does not change how long an epoch takes."""


def recipe_of(config: Record) -> str:
    """What a trainer is told, as far as its pace depends on it: two trainings of one recipe take as long, epoch for epoch."""
    fields = {key: value for key, value in config.model_dump(mode="json").items() if key not in _NO_MATTER}
    return json.dumps(fields, sort_keys=True)


def where_of(launch: LaunchConfig) -> str:
    """Where a launch trains, as timings name it; "" where that is a rented machine's hardware, which is known afterwards."""
    if isinstance(launch, RunPodLaunch):
        return ""
    if isinstance(launch, RayLaunch):
        return f"ray {launch.address} cpus {launch.cpus:g} gpus {launch.gpus:g}"
    return HERE


def epochs_given(config: Record) -> int | None:
    """The epochs that the user gave; None where the trainer decides, or has no such key."""
    value = getattr(config, "epochs", None)
    return value if isinstance(value, int) and value > 0 else None


def untold_epochs(config: Record) -> int:
    """The epochs of another package's trainer, which need not tell how many it plans: those that it was given, else 0."""
    return (epochs_given(config) or 0) if isinstance(config, OtherTrainer) else 0


@dataclass
class TrainingClock:
    """Follows one `fit` by its own lines. A network's loop begins where its planned epochs are told.

    `planned` at first is for a trainer that does not tell them: see `untold_epochs`.
    """

    now: Callable[[], float] = time.monotonic
    planned: int = 0
    epochs: int = 0
    _before: int = 0
    _looped: float = 0.0
    _last: int = 0
    _ended: float | None = None
    _marks: list[tuple[int, float]] = field(default_factory=list[tuple[int, float]])

    def __post_init__(self) -> None:
        """It begins to count."""
        self._began = self._looped = self.now()

    def end(self) -> None:
        """It stops: what comes after is not the training's."""
        self._ended = self.now()

    @property
    def looped_s(self) -> float:
        """Seconds from the first report of the loop to the last: what an epoch's time can be read from."""
        return self._marks[-1][1] - self._marks[0][1] if self._marks else 0.0

    @property
    def reports(self) -> int:
        """How often the loop has reported."""
        return len(self._marks)

    def follow(self, watch: Watch) -> Watch:
        """The same watch, with the clock listening."""

        def plan(number: int) -> None:
            self._before, self.planned, self._looped, self._marks = self._last, number - self._last, self.now(), []
            watch.epochs(number)

        def report(epoch: int, metrics: Mapping[str, float]) -> None:
            self._last = epoch
            if self.planned:
                self.epochs = epoch - self._before
                self._marks.append((self.epochs, self.now()))
            watch.on_epoch(epoch, metrics)

        return replace(watch, epochs=plan, on_epoch=report)

    @property
    def epoch_s(self) -> float:
        """Seconds of an epoch: from the first report on, as that one's epochs also warm things up; else of all there is."""
        if not self._marks:
            return 0.0
        last, ended = self._marks[-1]
        return _slope(self._marks) if len(self._marks) > 1 else (ended - self._looped) / max(1, last)

    @property
    def unsteady(self) -> float:
        """By which share epochs of the first half took longer or less than later ones; 0 of too few reports to tell."""
        if len(self._marks) < _TELLING:
            return 0.0
        middle = len(self._marks) // 2
        halves = [_slope(self._marks[: middle + 1]), _slope(self._marks[middle:])]
        return abs(halves[0] - halves[1]) / max(*halves, 1e-9)

    def timing(self, where: str, recipe: str, images: int, seconds: float | None = None) -> Timing:
        """The parts of a training that ends now, or that was paid for these `seconds`."""
        whole, each = (self._ended or self.now()) - self._began if seconds is None else seconds, self.epoch_s
        return Timing(
            where=where,
            recipe=recipe,
            images=images,
            planned=self.planned,
            epochs=self.epochs,
            fixed_s=max(0.0, whole - each * self.epochs),
            epoch_s=each,
            unsteady=self.unsteady,
        )


def _slope(marks: list[tuple[int, float]]) -> float:
    """Seconds an epoch, from the first of some reports to the last."""
    (first, began), (last, ended) = marks[0], marks[-1]
    return (ended - began) / max(1, last - first)
