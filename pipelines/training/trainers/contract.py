"""The contract of a trainer, and what every adapter shares."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from pipelines.data.dataset import DataSet

OnEpoch = Callable[[int, Mapping[str, float]], None]
"""Called after each epoch, from 1, with its metrics: `train_loss`, `val_top1`, and what else the framework gives."""


@dataclass(frozen=True, slots=True)
class Fitted:
    """What training left: a stock MLflow model folder with `modelyard.json` in it, and files worth keeping with the run."""

    folder: Path
    extras: Path | None = None


class Trainer(Protocol):
    """Trains one model.

    `fit` writes below `work` only. It raises when training fails; it never returns a model that did not train. The
    model in the folder maps image tensors made by the folder's own preprocessing to probabilities.
    """

    def fit(self, data: DataSet, work: Path, on_epoch: OnEpoch) -> Fitted:
        """Train on the `train` split, watch the `val` split, never look at `test`."""
        ...
