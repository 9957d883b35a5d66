"""The description in a registered model's folder, beside MLflow's own files: `modelyard.json`."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from registry.errors import InputError, NotFoundError
from serving.bundle.preprocess import Preprocess
from serving.bundle.records import Struct, read_frozen

NAME = "modelyard.json"


class Suppression(Struct, frozen=True):
    """Non-maximum suppression: boxes of at least `score`; of overlapping boxes of one class the best remains."""

    score: float = 0.25
    iou: float = 0.7
    most: int = 300


class ModelInfo(Struct, frozen=True):
    """How to run a trained model: its framework, its labels in output order, and its preprocessing.

    A classifier's program gives probabilities `[N, classes]`. A detector's gives two: predictions
    `[N, 4 + classes, boxes]` (centre, extent in the input's pixels, scores), and, for runtimes that cannot decode it,
    what they are decoded from: raw `[N, 4 * bins + classes, boxes]`, which are the logits of the distances from a cell's
    centre to the box's left, top, right and bottom in `bins` bins each, then of the classes. Cells come row by row, stride
    by stride.
    """

    trainer: str
    arch: str
    framework: Literal["torch", "keras", "onnx"]
    labels: list[str]
    preprocess: Preprocess
    dataset: str
    task: Literal["classify", "detect"] = "classify"
    suppression: Suppression = Suppression()
    strides: tuple[int, ...] = ()


def write_info(folder: Path, info: ModelInfo) -> None:
    """Put the description into a model's folder."""
    info.write(folder / NAME)


def read_info(folder: Path, subject: object) -> ModelInfo:
    """Read it back. A model that was not trained with Modelyard has none, and cannot be evaluated."""
    try:
        return read_frozen(folder / NAME, ModelInfo)
    except NotFoundError as error:
        raise InputError(subject, f"its files hold no {NAME}", "train it with `modelyard train`") from error
    except InputError as error:
        raise InputError(subject, f"its {NAME} cannot be read", "train it again with `modelyard train`") from error
