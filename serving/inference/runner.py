"""One ONNX file on ONNX Runtime: image bytes in, arrays out. It serves, and it is what parity measures."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from PIL import Image

from registry.errors import IntegrityError, UnavailableError, shorten
from serving.bundle.preprocess import Preprocess, check_shape, from_letterbox

Array = NDArray[np.float32]
Device = Literal["cpu", "cuda"]

_PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}


class Prepared(NamedTuple):
    """A picture as the model gets it, and the width and height that it came with."""

    pixels: NDArray[np.uint8]
    size: tuple[int, int]


class Runner:
    """A model on one device. Safe to call from several threads.

    How much of the preprocessing is left to do is told by the model's input: `images` of bytes take a decoded picture
    of any size, `pixel_values` take it as numbers in 0..255, colour by colour, and anything else is the finished tensor.
    """

    def __init__(
        self, model: Path | bytes, preprocess: Preprocess, threads: int = 0, device: Device = "cpu", *, fitted: bool = False
    ) -> None:
        """Load the model; `threads` limits ONNX Runtime, 0 leaves the choice to it.

        `fitted` resizes and crops a classifier's pictures before its graph, which then finds nothing left to do. That is
        how they are served: it takes half the time, and pictures of all sizes fit into one batch.

        Raises UnavailableError where ONNX Runtime would fall back from CUDA to the CPU without a word.
        """
        self._model = "the model" if isinstance(model, bytes) else model.name
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 3
        if device == "cuda":
            if _PROVIDERS[device] not in onnxruntime.get_available_providers():
                raise _elsewhere(device, _PROVIDERS["cpu"])
            onnxruntime.preload_dlls()  # CUDA's libraries out of the packages that onnxruntime-gpu[cuda,cudnn] brings
        try:
            given_model = model if isinstance(model, bytes) else str(model)
            self._session = onnxruntime.InferenceSession(given_model, options, [_PROVIDERS[device]])
        except Exception as error:  # onnxruntime's own exceptions share no base class
            raise IntegrityError(self._model, f"ONNX Runtime cannot load it ({error})", "export it again") from error
        self.provider: str = self._session.get_providers()[0]
        if self.provider != _PROVIDERS[device]:
            raise _elsewhere(device, self.provider)
        given = self._session.get_inputs()[0]
        self._input, self._preprocess = given.name, preprocess
        self._output = self._session.get_outputs()[0].name
        self._bytes, self._values = given.type == "tensor(uint8)", given.name == "pixel_values"
        self._fits = not self.takes_images or (fitted and not self.detects)

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
        opened = (self.open(data, f"{name} {number}") for number, data in enumerate(images, 1))
        return np.stack(self.run([self.prepare(picture) for picture in opened]))

    def open(self, data: bytes, name: str = "image") -> Image.Image:
        """An image file's bytes → RGB picture. Raises InputError."""
        return self._preprocess.open(data, name)

    def rows(self, pictures: Sequence[Image.Image]) -> list[Array]:
        """RGB pictures → a row of probabilities, or detections, each."""
        return self.run([self.prepare(picture) for picture in pictures])

    def prepare(self, picture: Image.Image) -> Prepared:
        """An RGB picture → what `run` takes. Where the preprocessing is not the graph's, little of it is left to keep.

        Raises InputError for one that is far too thin.
        """
        check_shape(*picture.size)
        return Prepared(self._preprocess.fit(picture) if self._fits else np.asarray(picture), picture.size)

    def run(self, prepared: Sequence[Prepared]) -> list[Array]:
        """Prepared pictures → a row of probabilities, or detections, each."""
        batches: dict[tuple[int, ...], list[int]] = defaultdict(list)
        for index, (pixels, _) in enumerate(prepared):
            batches[pixels.shape].append(index)
        answers: list[Array] = [np.empty(0, np.float32)] * len(prepared)
        for indices in batches.values():
            rows = self._run(np.stack([prepared[index].pixels for index in indices]))
            for index, row in zip(indices, rows, strict=True):
                answers[index] = row
                if self.detects and not self.takes_images:
                    real = row[:, 4] > 0
                    answers[index][real, :4] = from_letterbox(row[real, :4], self._preprocess.size, *prepared[index].size)
        return answers

    def _run(self, pixels: NDArray[np.uint8]) -> Array:
        """uint8 `[N, height, width, 3]` → what the network says."""
        given: NDArray[np.uint8] | Array = pixels
        if self._values:
            given = pixels.transpose(0, 3, 1, 2).astype(np.float32)
        elif not self._bytes:
            given = self._preprocess.tensor(pixels)
        try:
            output = np.asarray(self._session.run([self._output], {self._input: given})[0], np.float32)
        except Exception as error:  # onnxruntime's own exceptions share no base class
            raise IntegrityError(
                self._model, f"ONNX Runtime cannot run it ({shorten(error, 120)})", "export it again"
            ) from error
        return _softmax(output) if self._output == "logits" else output


def _softmax(logits: Array) -> Array:
    """What a client of logits makes of them."""
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def _elsewhere(device: Device, provider: str) -> UnavailableError:
    remedy = "install onnxruntime-gpu with CUDA's libraries, or serve with --device cpu"
    return UnavailableError(f"device '{device}'", f"ONNX Runtime would run on {provider} instead", remedy)
