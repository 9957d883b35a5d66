"""A predictor alone in its process, as the clouds' handlers want it. Imports no more than a worker does."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from PIL import Image, ImageOps

from registry.errors import InputError
from serving.checked import read_checked
from serving.preprocess import Preprocess, check_shape
from serving.runner import Device, Runner

_PARTS = ("model.onnx", "preprocess.json", "labels.json")


class LonePredictor:
    """One bundle, whose bytes are those of the digests that it names."""

    def __init__(self, folder: Path, threads: int = 0, device: Device = "cpu") -> None:
        """Load it. Raises IntegrityError for a file that was changed."""
        found = read_checked(folder, _PARTS)
        self.labels: list[str] = json.loads(found["labels.json"])
        preprocess = Preprocess.of(json.loads(found["preprocess.json"]))
        self._runner = Runner(found["model.onnx"], preprocess, threads, device, fitted=True)
        self._runner.rows([Image.new("RGB", (64, 64), (114, 114, 114))])  # the first answer is slower: let it not be a user's

    def predict(self, image: bytes | Image.Image) -> dict[str, Any]:
        """An image file's bytes, or a picture → `label`, `probability`, `probabilities`, and a detector's `boxes`.

        Raises InputError for what is no image.
        """
        picture = self._runner.open(image) if isinstance(image, bytes) else ImageOps.exif_transpose(image).convert("RGB")
        check_shape(*picture.size)
        row = self._runner.rows([picture])[0]
        boxes = list[dict[str, Any]]()
        if self._runner.detects:
            every = dict.fromkeys(self.labels, 0.0)
            for left, top, right, bottom, score, kind in row.tolist():
                if score > 0:
                    label = self.labels[int(kind)]
                    boxes.append({"label": label, "score": score, "box": [left, top, right, bottom]})
                    every[label] = max(every[label], score)
        else:
            every = dict(zip(self.labels, map(float, row), strict=True))
        best = max(every, key=every.__getitem__)
        told = {"label": best, "probability": every[best], "probabilities": every}
        return told | ({"boxes": boxes} if self._runner.detects else {})


def image_of(text: object) -> bytes:
    """The image file's bytes that base64 or a data URL holds. Raises InputError."""
    import base64
    import binascii

    if not isinstance(text, str) or not text:
        raise InputError("image", "is missing", "send the image file's bytes in base64")
    try:
        return base64.b64decode(text.partition(",")[2] if text.startswith("data:") else text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise InputError("image", "is neither base64 nor a data URL", "encode the image file's bytes in base64") from error
