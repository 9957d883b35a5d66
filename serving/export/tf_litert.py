"""SavedModel → LiteRT, the format of TensorFlow Lite: in the TensorFlow world, part of `tf_convert.py`.

Every file takes one image, float32 `image` `[1, size, size, 3]`, and gives float32: sizes that are constants are what the
delegates of phones and WebGPU accept, and an app that tries another precision changes nothing but the file. `float16` stores
half-precision weights; in `int8` every operator computes in 8-bit integers, with ranges from training images.

Not covered: operators that LiteRT's runtime lacks. TensorFlow's own kernels could stand in for them, but no phone has those
by itself.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

_LACKED = re.compile(r"^(?:TF Select|Custom|Flex) ops: (.+)$", re.MULTILINE)
_LEVELS = np.float32(255)


class UnconvertibleError(Exception):
    """The network has an operator that LiteRT lacks, or an operator that has no 8-bit form."""


class LitertConverter:
    """One SavedModel, read once for all precisions. `output` names what it gives: `probabilities`, or a detector's `raw`."""

    def __init__(self, saved: Path, size: int, output: str) -> None:
        self._loaded = tf.saved_model.load(str(saved))
        network = self._loaded.signatures["serving_default"]
        (given,) = network.structured_input_signature[1]

        def answer(image: Any) -> dict[str, Any]:
            (made,) = network(**{given: image}).values()
            return {output: made}

        spec = tf.TensorSpec([1, size, size, 3], tf.float32, "image")
        self._answer = tf.function(answer, input_signature=[spec], autograph=False).get_concrete_function()

    def write(self, target: Path, precision: str, calibration: Path | None) -> None:
        """Write one precision; `calibration` is an .npy file of uint8 images `[N, size, size, 3]`, for `int8`.

        Raises UnconvertibleError naming what LiteRT lacks.
        """
        converter = tf.lite.TFLiteConverter.from_concrete_functions([self._answer], self._loaded)
        if precision != "float32":
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
        if precision == "float16":
            converter.target_spec.supported_types = [tf.float16]
        if precision == "int8":
            if calibration is None:
                raise UnconvertibleError("there are no training images to calibrate it with")
            converter.representative_dataset = lambda: _images(calibration)
            converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        try:
            model = converter.convert()
        except Exception as error:  # the converter's errors have Exception itself for a base
            raise UnconvertibleError(_reason(error)) from error
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(model)


def _images(calibration: Path) -> Iterator[list[Any]]:
    for pixels in np.load(calibration, allow_pickle=False):
        yield [pixels[None].astype(np.float32) / _LEVELS]


def _reason(error: Exception) -> str:
    """The operators that are lacking, which the converter lists after a page of other lines."""
    lacked = sorted({name.strip() for line in _LACKED.findall(str(error)) for name in line.split(",")})
    return f"LiteRT has no operation {', '.join(lacked)}" if lacked else " ".join(str(error).split())[:200]
