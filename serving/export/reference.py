"""The trained model's own answers: the program that was registered, run by the framework that trained it.

Torch models (and YOLO's, which are torch modules) are registered as a `torch.export` program, which is data and not a
pickle. Keras models run in the TensorFlow world.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from registry.errors import IntegrityError
from serving.export.child import run_child
from serving.modelinfo import ModelInfo
from serving.preprocess import stack_pixels

_BATCH = 64
_TF_PREDICT = Path(__file__).with_name("tf_predict.py")


@dataclass(frozen=True, slots=True)
class Reference:
    """A registered model's folder, and the interpreter of the TensorFlow world for those that need it."""

    folder: Path
    info: ModelInfo
    tf_python: Path

    def probabilities(self, images: Sequence[Path]) -> NDArray[np.float32]:
        """Image files → float32 `[N, classes]`, in order, through the one preprocessing."""
        if not images:
            return np.zeros((0, len(self.info.labels)), np.float32)
        return self._torch(images) if self.info.framework == "torch" else self._keras(images)

    def _torch(self, images: Sequence[Path]) -> NDArray[np.float32]:
        import torch

        program = self.folder / "data" / "model.pt2"
        try:
            network = torch.export.load(program).module()
        except Exception as error:  # a damaged program raises whatever its damage happens to hit
            raise IntegrityError(program, "torch cannot load it", "register the model again") from error
        answers: list[NDArray[np.float32]] = []
        for start in range(0, len(images), _BATCH):
            pixels = stack_pixels(self.info.preprocess, images[start : start + _BATCH])
            with torch.no_grad():
                answers.append(network(torch.from_numpy(self.info.preprocess.tensor(pixels))).numpy())
        return np.concatenate(answers)

    def _keras(self, images: Sequence[Path]) -> NDArray[np.float32]:
        with tempfile.TemporaryDirectory(prefix="modelyard-") as scratch:
            pixels = Path(scratch) / "pixels.npy"
            np.save(pixels, stack_pixels(self.info.preprocess, images))
            job = {"model": str(self.folder.absolute() / "data" / "model.keras"), "pixels": str(pixels)}
            answer = run_child([self.tf_python, "-I", _TF_PREDICT], job, "Keras")
        return np.asarray(answer["probabilities"], np.float32)
