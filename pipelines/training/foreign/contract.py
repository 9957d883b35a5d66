"""What each format's opener gives: what its file says, its answers, and the model written as one of our folders."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from pipelines.training.foreign.options import Normalise, Tensors
from serving.bundle.modelinfo import ModelInfo
from serving.bundle.preprocess import Preprocess

Scores = NDArray[np.float32]
"""A network's own outputs `[N, classes]`: probabilities or logits."""


@dataclass(frozen=True, slots=True)
class About:
    """What a file says. `size`: None where it takes any. `labels`: empty where it names none."""

    trainer: str
    arch: str
    size: int | None = None
    labels: tuple[str, ...] = ()
    normalise: Normalise | None = None
    preprocess: Preprocess | None = None


@dataclass(frozen=True, slots=True)
class Head:
    """What is put around the network, so that it takes pixels in 0..1 and gives probabilities in the data set's order.

    `order`: for each class of the data set, which output is its own; empty where they agree.
    """

    normalise: Normalise
    softmax: bool
    order: tuple[int, ...] = ()


class ForeignModel(Protocol):
    """An opened model. Every method raises a ModelyardError that names the file, whatever the file makes a library raise."""

    @property
    def about(self) -> About:
        """What its file says."""
        ...

    def answers(self, batches: Sequence[Tensors]) -> list[Scores]:
        """Its own outputs for tensors `[N, 3, S, S]`, normalised already."""
        ...

    def package(self, folder: Path, info: ModelInfo, head: Head) -> ModelInfo:
        """Write it with its head as a stock MLflow folder without a description; return what describes it."""
        ...


Framework = Literal["torch", "keras", "onnx"]
