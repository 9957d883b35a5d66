"""The predictor: image bytes in, labels with probabilities out. ONNX Runtime and Pillow, nothing of training."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from registry.errors import IntegrityError
from registry.records import Record
from serving.bundle import Bundle, open_bundle


class Prediction(Record):
    """The best label, its probability, and every class's probability."""

    label: str
    probability: float
    probabilities: dict[str, float]


class Predictor:
    """One bundle's model on the CPU. Safe to call from several threads."""

    def __init__(self, bundle: Bundle, threads: int = 0) -> None:
        """Load the model; `threads` limits ONNX Runtime, 0 leaves the choice to it."""
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 3
        try:
            self._session = onnxruntime.InferenceSession(str(bundle.onnx), options, ["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime's own exceptions share no base class
            raise IntegrityError(bundle.onnx, f"ONNX Runtime cannot load it ({error})", "export it again") from error
        self._input = self._session.get_inputs()[0].name
        self.bundle = bundle

    def probabilities(self, images: Sequence[bytes]) -> NDArray[np.float32]:
        """Image files' bytes → float32 `[N, classes]`. Raises InputError for bytes that are no image."""
        preprocess = self.bundle.preprocess
        pixels = np.stack([preprocess.pixels(data, f"image {place}") for place, data in enumerate(images, 1)])
        (found,) = self._session.run(None, {self._input: preprocess.tensor(pixels)})
        return np.asarray(found, np.float32)

    def predict(self, images: Sequence[bytes]) -> list[Prediction]:
        """Image files' bytes → one prediction each."""
        return [self._name(row) for row in self.probabilities(images)]

    def _name(self, row: NDArray[np.float32]) -> Prediction:
        best = int(row.argmax())
        every = {label: float(value) for label, value in zip(self.bundle.labels, row, strict=True)}
        return Prediction(label=self.bundle.labels[best], probability=float(row[best]), probabilities=every)


def load_predictor(folder: Path, threads: int = 0) -> Predictor:
    """Check a bundle's bytes, then load it."""
    return Predictor(open_bundle(folder), threads)
