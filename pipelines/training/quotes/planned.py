"""How many epochs a trainer would come to on a data set: as it was told, or from a budget that may end early."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import Field

from pipelines.job.other_trainers import OtherTrainer
from pipelines.job.tasks import is_detector
from pipelines.job.trainers import TrainerConfig, YoloTrainer
from pipelines.training.timing import epochs_given
from pipelines.training.trainers.budget import STEPS, plan
from registry.records import Record, Timing

_YOLO_STEPS = 400
"""Of Ultralytics' own loop, see `trainers/yolo.py`."""
_EARLIEST, _EARLIEST_BY_PATIENCE = 0.45, 0.25
"""The share of a budget after which our loop, and one that waits for val by epochs, may end at the earliest."""


class Epochs(Record):
    """How many epochs training comes to: `most` where nothing ends it early, 0 for a trainer that has none.

    `known`: nothing can end it early, or the user has said how many. `likely` is what past runs came to, else the middle.
    """

    least: float = Field(ge=0)
    likely: float = Field(ge=0)
    most: float = Field(ge=0)
    batch: int = 0
    images: int = 0

    @property
    def known(self) -> bool:
        """Whether the length is not a matter of chance."""
        return self.least == self.most

    def __str__(self) -> str:
        if not self.most:
            return "no epochs"
        if self.known:
            return f"{self.most:.0f} epochs"
        return f"{self.least:.0f} to {self.most:.0f} epochs, as val decides"


def planned_epochs(config: TrainerConfig, images: int, timings: Sequence[Timing] = ()) -> Epochs:
    """What is planned for so many training images. `timings` of the same recipe tell what a budget comes to in practice."""
    batch = int(getattr(config, "batch", 0) or (config.model_extra or {}).get("batch") or 0)
    fields = {"batch": batch, "images": images}
    if timings and not any(timing.planned for timing in timings):
        return Epochs(least=0, likely=0, most=0, **fields)
    if (epochs := epochs_given(config)) is not None:
        return Epochs(least=epochs if all(timing.planned for timing in timings) else 0, likely=epochs, most=epochs, **fields)
    most = _budget(config, images) or max((timing.planned for timing in timings), default=0)
    steady = config.kind == "torch" or getattr(config, "loop", "") == "fast"
    earliest = _EARLIEST if steady and not is_detector(config) else _EARLIEST_BY_PATIENCE
    shares = [timing.share if timing.planned else 0.0 for timing in timings if timing.epochs or not timing.planned]
    likely = sum(shares) / len(shares) if shares else (1 + earliest) / 2
    return Epochs(least=min([earliest, *shares]) * most, likely=likely * most, most=most, **fields)


def _budget(config: TrainerConfig, images: int) -> int:
    """The epochs of a classifier's budget; 0 where it is the trainer's own matter."""
    if isinstance(config, OtherTrainer) or is_detector(config):
        return 0
    theirs = isinstance(config, YoloTrainer) and config.loop == "ultralytics"
    return plan(images, None, config.batch, _YOLO_STEPS if theirs else STEPS).epochs
