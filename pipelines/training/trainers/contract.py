"""The contract of a trainer, and what every adapter shares."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from pipelines.data.dataset import DataSet

OnEpoch = Callable[[int, Mapping[str, float]], None]
"""Called after each epoch, from 1, with its metrics: `train_loss`, `val_top1`, and what else the framework gives."""
Choice = str | int | float


def _ignore(*_: object) -> None:
    """Nobody listens."""


@dataclass(frozen=True, slots=True)
class Watch:
    """Who follows a training, and where it may keep what it resumes from.

    `say` prints a line. `choose` is told what defaults came to for this data set (epochs, weights, batch): printed and
    logged as parameters. `epochs` is told how many epochs are planned, as soon as that is known. `checkpoints` is a folder
    that outlives the process, for a trainer that can resume: it writes its state there after an epoch, in one step, and
    begins from what it finds there; None: nothing is kept. `cache` is a folder for arrays that are slow to make again.
    """

    on_epoch: OnEpoch = _ignore
    say: Callable[[str], None] = _ignore
    choose: Callable[[Mapping[str, Choice]], None] = _ignore
    epochs: Callable[[int], None] = _ignore
    checkpoints: Path | None = None
    cache: Path | None = None


@dataclass(frozen=True, slots=True)
class Fitted:
    """What training left: a stock MLflow model folder with `modelyard.json` in it, and files worth keeping with the run.

    `name` says what tells this training from others, such as `torch efficientnet_lite0 224 frozen`: it names the run.
    """

    folder: Path
    extras: Path | None = None
    name: str = ""
    figures: Mapping[str, float] = field(default_factory=dict[str, float])


class Trainer(Protocol):
    """Trains one model.

    `fit` writes below `work` and `watch.checkpoints` only. It raises when training fails; it never returns a model that did
    not train. The model in the folder maps image tensors made by the folder's own preprocessing to probabilities.
    """

    def fit(self, data: DataSet, work: Path, watch: Watch) -> Fitted:
        """Train on the `train` split, watch the `val` split, never look at `test`."""
        ...
