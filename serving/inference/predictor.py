"""The predictor: image bytes in, labels with probabilities out. ONNX Runtime and Pillow, without any training library."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from serving.bundle.bundle import Bundle, open_bundle
from serving.bundle.variants import MAIN
from serving.inference.prediction import Prediction, classified, detected
from serving.inference.runner import Runner


class Predictor:
    """One bundle's model on the CPU. Safe to call from several threads."""

    def __init__(self, bundle: Bundle, threads: int = 0, variant: str = MAIN.name) -> None:
        """Load the model; `threads` limits ONNX Runtime; 0 lets it choose."""
        self.bundle = bundle
        self._runner = Runner(bundle.variant(variant), bundle.preprocess, threads, fitted=True)

    def probabilities(self, images: Sequence[bytes]) -> NDArray[np.float32]:
        """Image files' bytes → float32 `[N, classes]`. Raises InputError for bytes that are not an image."""
        return self._runner.answers(images)

    def predict(self, images: Sequence[bytes]) -> list[Prediction]:
        """Image files' bytes → one prediction each."""
        labels = self.bundle.labels
        rows = self._runner.answers(images).tolist()
        return [detected(labels, row) if self._runner.detects else classified(labels, row) for row in rows]


def load_predictor(folder: Path, threads: int = 0) -> Predictor:
    """Check a bundle's bytes, then load it."""
    return Predictor(open_bundle(folder), threads)
