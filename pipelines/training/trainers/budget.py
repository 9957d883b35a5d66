"""How long to train: a budget of optimizer steps, fitted to the data set.

A fixed number of epochs is wrong at both ends. Fourteen epochs of 26 images are fourteen steps, after which a network guesses;
the same number of a hundred thousand images is more than any of them needs. What a network learns follows the number of its
steps, so that is what is planned; epochs are what comes of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pipelines.training.trainers.contract import Choice

STEPS = 1000
"""Of 32 images each: with 3, 10 and 30 people's photographs, one a class, more gained nothing that five seeds could show."""
_LEAST_EPOCHS = 12
_REPORTS = 40


@dataclass(frozen=True, slots=True)
class Plan:
    """Steps of `batch` images, and after how many epochs each report (loss, score on val) comes.

    `fixed`: the user said how many epochs, and gets them all.
    """

    images: int
    batch: int
    steps: int
    steps_per_epoch: int
    epochs_per_report: int
    fixed: bool

    @property
    def epochs(self) -> int:
        """How many passes over the images are planned."""
        return -(-self.steps // self.steps_per_epoch)

    @property
    def steps_per_report(self) -> int:
        """Steps from one report to the next."""
        return self.epochs_per_report * self.steps_per_epoch

    def choices(self) -> Mapping[str, Choice]:
        """What to print and to log."""
        return {"steps": self.steps, "epochs": self.epochs, "batch": self.batch}


def plan(images: int, epochs: int | None, batch: int, steps: int = STEPS) -> Plan:
    """The plan for so many training images. `epochs` as the user gave them, or None for a budget of `steps`.

    A batch is drawn from a stream of shuffled passes, so it may be larger than the data set: the images in it are augmented
    differently.
    """
    per_epoch = max(1, -(-images // batch))
    if epochs is None:
        planned = max(steps, _LEAST_EPOCHS * per_epoch)
        every = max(1, round(planned / per_epoch / _REPORTS))
        return Plan(images, batch, planned, per_epoch, every, fixed=False)
    return Plan(images, batch, epochs * per_epoch, per_epoch, max(1, epochs // 100), fixed=True)
