"""What a person writes around an exported classifier: Pillow, the resize of its training, ONNX Runtime. In every peer."""

from __future__ import annotations

import io
import os

import numpy as np
import onnxruntime
from PIL import Image, ImageOps

SIDE = 64
LABELS = [str(number) for number in range(10)]


class Model:
    """The tensor variant of the bundle that ours serves."""

    def __init__(self) -> None:
        """Load it on one thread, as ours does."""
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(os.environ["PEER_MODEL"], options, ["CPUExecutionProvider"])
        self._input = self._session.get_inputs()[0].name

    def predict(self, data: bytes) -> dict[str, object]:
        """An image file's bytes → its label."""
        row = self._session.run(None, {self._input: tensor(data)})[0][0]
        best = int(row.argmax())
        every = dict(zip(LABELS, map(float, row), strict=True))
        return {"label": LABELS[best], "probability": float(row[best]), "probabilities": every}


def tensor(data: bytes) -> np.ndarray:
    """Image bytes → float32 `[1, 3, 64, 64]`."""
    image = ImageOps.exif_transpose(Image.open(io.BytesIO(data))).convert("RGB")
    width, height = image.size
    short = min(width, height)
    image = image.resize((int(SIDE * width / short), int(SIDE * height / short)), Image.Resampling.BILINEAR)
    left, top = round((image.width - SIDE) / 2), round((image.height - SIDE) / 2)
    pixels = np.asarray(image.crop((left, top, left + SIDE, top + SIDE)), np.float32) / 255
    return np.ascontiguousarray(pixels.transpose(2, 0, 1))[None]
