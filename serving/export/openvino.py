"""The `openvino` exporter, behind the extra of that name: OpenVINO's own format, through the plugin interface."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import openvino
from numpy.typing import NDArray

from serving.bundle.modelinfo import ModelInfo


class OpenVino:
    """ONNX → OpenVINO IR (`model.xml` and `model.bin`), weights in half precision, which is OpenVINO's default."""

    def export(self, core: Path, folder: Path, info: ModelInfo) -> None:
        """Convert, with the labels in the model's own information."""
        model = openvino.convert_model(core)
        model.set_rt_info(" ".join(label.replace(" ", "_") for label in info.labels), ["model_info", "labels"])
        openvino.save_model(model, folder / "model.xml")

    def answers(self, folder: Path, tensors: NDArray[np.float32]) -> NDArray[np.float32]:
        """Probabilities on the CPU, one image at a time."""
        model = openvino.Core().compile_model(folder / "model.xml", "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
        return np.concatenate([np.asarray(model(row[None])[0]) for row in tensors])
