"""The predictor: image bytes in, labels with probabilities out. ONNX Runtime and Pillow, nothing of training."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from serving.answers import Box, Prediction
from serving.bundle import Bundle, open_bundle
from serving.runner import Runner
from serving.variants import MAIN


class Predictor:
    """One bundle's model on the CPU. Safe to call from several threads."""

    def __init__(self, bundle: Bundle, threads: int = 0, variant: str = MAIN.name) -> None:
        """Load the model; `threads` limits ONNX Runtime, 0 leaves the choice to it."""
        self.bundle = bundle
        self._runner = Runner(bundle.variant(variant), bundle.preprocess, threads)

    def probabilities(self, images: Sequence[bytes]) -> NDArray[np.float32]:
        """Image files' bytes → float32 `[N, classes]`. Raises InputError for bytes that are no image."""
        return self._runner.answers(images)

    def predict(self, images: Sequence[bytes]) -> list[Prediction]:
        """Image files' bytes → one prediction each."""
        name = self._boxes if self._runner.detects else self._name
        return [name(row) for row in self._runner.answers(images)]

    def _name(self, row: NDArray[np.float32]) -> Prediction:
        best = int(row.argmax())
        every = {label: float(value) for label, value in zip(self.bundle.labels, row, strict=True)}
        return Prediction(label=self.bundle.labels[best], probability=float(row[best]), probabilities=every)

    def _boxes(self, rows: NDArray[np.float32]) -> Prediction:
        labels, every = self.bundle.labels, dict.fromkeys(self.bundle.labels, 0.0)
        boxes = list[Box]()
        for left, top, right, bottom, score, kind in rows[rows[:, 4] > 0].tolist():
            label = labels[int(kind)]
            boxes.append(Box(label=label, score=score, box=(left, top, right, bottom)))
            every[label] = max(every[label], score)
        best = boxes[0] if boxes else None
        return Prediction(
            label=best.label if best else "nothing", probability=best.score if best else 0.0, probabilities=every, boxes=boxes
        )


def load_predictor(folder: Path, threads: int = 0) -> Predictor:
    """Check a bundle's bytes, then load it."""
    return Predictor(open_bundle(folder), threads)
