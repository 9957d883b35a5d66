"""One ONNX file on ONNX Runtime: image bytes in, arrays out. It serves, and it is what parity measures."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from PIL import Image

from registry.errors import IntegrityError, shorten
from serving.preprocess import Preprocess, check_shape, decode, from_letterbox

Array = NDArray[np.float32]


class Runner:
    """A model on the CPU. Safe to call from several threads.

    How much of the preprocessing is left to do is told by the model's input: `images` of bytes take a decoded picture
    of any size, `pixel_values` take it as numbers in 0..255, colour by colour, and anything else is the finished tensor.
    """

    def __init__(self, model: Path, preprocess: Preprocess, threads: int = 0) -> None:
        """Load the model; `threads` limits ONNX Runtime, 0 leaves the choice to it."""
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 3
        try:
            self._session = onnxruntime.InferenceSession(str(model), options, ["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime's own exceptions share no base class
            raise IntegrityError(model, f"ONNX Runtime cannot load it ({error})", "export it again") from error
        given, self._model = self._session.get_inputs()[0], model.name
        self._input, self._preprocess = given.name, preprocess
        self._output = self._session.get_outputs()[0].name
        self._bytes, self._values = given.type == "tensor(uint8)", given.name == "pixel_values"

    @property
    def detects(self) -> bool:
        """Whether it answers with boxes."""
        return self._output == "detections"

    @property
    def takes_images(self) -> bool:
        """Whether it resizes by itself."""
        return self._bytes or self._values

    def answers(self, images: Sequence[bytes], name: str = "image") -> Array:
        """Image files' bytes → probabilities `[N, classes]`, or detections `[N, most, 6]`, in order.

        Raises InputError for bytes that are no image. Images of one size are answered together.
        """
        batches: dict[tuple[int, ...], list[int]] = defaultdict(list)
        pictures = [decode(data, f"{name} {place}") for place, data in enumerate(images, 1)]
        inputs = [self._prepare(picture) for picture in pictures]
        for place, pixels in enumerate(inputs):
            batches[pixels.shape].append(place)
        found: list[Array] = [np.empty(0, np.float32)] * len(inputs)
        for places in batches.values():
            rows = self._run(np.stack([inputs[place] for place in places]))
            for place, row in zip(places, rows, strict=True):
                found[place] = row
                if self.detects and not self.takes_images:
                    real = row[:, 4] > 0
                    found[place][real, :4] = from_letterbox(row[real, :4], self._preprocess.size, *pictures[place].size)
        return np.stack(found)

    def _prepare(self, picture: Image.Image) -> NDArray[np.uint8]:
        if not self.takes_images:
            return self._preprocess.fit(picture)
        check_shape(*picture.size)
        return np.asarray(picture)

    def _run(self, pixels: NDArray[np.uint8]) -> Array:
        """uint8 `[N, height, width, 3]` → what the network says."""
        given: NDArray[np.uint8] | Array = pixels
        if self._values:
            given = pixels.transpose(0, 3, 1, 2).astype(np.float32)
        elif not self._bytes:
            given = self._preprocess.tensor(pixels)
        try:
            found = np.asarray(self._session.run([self._output], {self._input: given})[0], np.float32)
        except Exception as error:  # onnxruntime's own exceptions share no base class
            raise IntegrityError(
                self._model, f"ONNX Runtime cannot run it ({shorten(error, 120)})", "export it again"
            ) from error
        return _softmax(found) if self._output == "logits" else found


def _softmax(logits: Array) -> Array:
    """What a client of logits makes of them."""
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)
