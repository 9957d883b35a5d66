"""A predictor for the clouds' handlers, which run in one process. Imports no more than a worker does."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from registry.errors import InputError, UnavailableError
from serving.bundle.checked import read_checked
from serving.bundle.decode import upright
from serving.bundle.preprocess import Preprocess
from serving.inference.outputs import classification, detection
from serving.inference.runner import Device, Runner
from serving.inference.texts import file_of_text

_PARTS = ("model.onnx", "preprocess.json", "labels.json")
_RANK, _CHANNELS = 3, 3


class StandalonePredictor:
    """One bundle's model; its files are checked against their digests."""

    def __init__(
        self, folder: Path, threads: int = 0, device: Device = "cpu", *, digest: str = "", keys: Path | None = None
    ) -> None:
        """Load it. Raises IntegrityError for a file that was changed.

        Also for a bundle with another digest than `digest`, or one that no key in the folder `keys` signed, if given.
        """
        contents = read_checked(folder, _PARTS, digest)
        if keys is not None:
            _check_signed(folder, keys)
        self.labels: list[str] = json.loads(contents["labels.json"])
        preprocess = Preprocess.of(json.loads(contents["preprocess.json"]))
        self._runner = Runner(contents["model.onnx"], preprocess, threads, device, fitted=True)
        self._runner.rows([Image.new("RGB", (64, 64), (114, 114, 114))])  # warm up: the first prediction is slower

    @property
    def detects(self) -> bool:
        """Whether it is a detector."""
        return self._runner.detects

    def predict(self, image: bytes | Image.Image) -> dict[str, Any]:
        """An image file's bytes, or a picture → `label`, `probability`, `probabilities`, and a detector's `boxes`.

        Raises InputError for what is not an image.
        """
        row = self._runner.rows([self._runner.open(image) if isinstance(image, bytes) else upright(image)])[0]
        return detection(self.labels, row.tolist()) if self.detects else classification(self.labels, row.tolist())


def _check_signed(folder: Path, keys: Path) -> None:
    try:
        from serving.bundle.signature import check_signature  # cryptography is needed for signatures only
    except ImportError as error:
        why = f"cannot be checked here, where {error.name} is missing"
        raise UnavailableError("the bundle's signature", why, "use the image of docker/, or unset MODELYARD_KEYS") from error
    check_signature(folder, keys)


def picture_of(given: object) -> bytes | Image.Image:
    """Convert base64, a data URL, bytes, a picture, or an array of uint8 `[height, width, 3]` to what `predict` takes.

    An array may be numpy's or nested lists of numbers. Raises InputError for anything else.
    """
    if isinstance(given, bytes | bytearray | memoryview):
        return bytes(given)
    if isinstance(given, Image.Image):
        return given
    if not isinstance(given, list | tuple | np.ndarray):
        return image_of(given)
    try:
        pixels = np.asarray(given)
    except ValueError as error:  # rows of several lengths
        raise _no_picture() from error
    if pixels.ndim != _RANK or pixels.shape[2] != _CHANNELS or not pixels.size or pixels.dtype.kind not in "iu":
        raise _no_picture()
    if pixels.dtype != np.uint8 and not (pixels.min() >= 0 and pixels.max() <= np.iinfo(np.uint8).max):
        raise _no_picture()
    return Image.fromarray(np.ascontiguousarray(pixels, np.uint8))


def is_batch(given: Any) -> bool:
    """Whether this is a list of pictures, and not a single picture, which may be nested lists of numbers itself."""
    deep, item = 0, given
    while isinstance(item, list | tuple) and item:
        deep, item = deep + 1, item[0]
    if not hasattr(item, "__float__"):
        return deep > 0
    return deep + getattr(item, "ndim", 0) > _RANK


def _no_picture() -> InputError:
    return InputError("array", "is not a picture", "send whole numbers of 0 to 255, height x width x 3 (red, green, blue)")


def image_of(text: object) -> bytes:
    """The image file's bytes that base64 or a data URL holds. Raises InputError."""
    if not isinstance(text, str) or not text:
        raise InputError("image", "is missing", "send the image file's bytes in base64")
    return file_of_text(text)
