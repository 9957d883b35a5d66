"""One ONNX file on ONNX Runtime: image bytes in, arrays out. The server and the parity measurement both use it."""

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
from serving.bundle.image_header import check_shape
from serving.bundle.preprocess import Preprocess, from_letterbox

Array = NDArray[np.float32]
Device = Literal["cpu", "cuda"]

_PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}


class Prepared(NamedTuple):
    """A picture as the model takes it, and its original width and height."""

    pixels: NDArray[np.uint8]
    size: tuple[int, int]


class Runner:
    """A model on one device. Safe to call from several threads.

    The model's input decides how much preprocessing remains: `images` of bytes take a decoded picture of any size,
    `pixel_values` take it as numbers in 0..255, channel by channel, and anything else is the finished tensor.
    """

    def __init__(
        self, model: Path | bytes, preprocess: Preprocess, threads: int = 0, device: Device = "cpu", *, fitted: bool = False
    ) -> None:
        """Load the model; `threads` limits ONNX Runtime; 0 lets it choose.

        `fitted` resizes and crops a classifier's pictures before its graph, which then leaves them as they are. The server
        does so: it takes half the time, and pictures of all sizes fit into one batch.

        Raises UnavailableError if ONNX Runtime would silently fall back from CUDA to the CPU.
        """
        self._model = "the model" if isinstance(model, bytes) else model.name
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 3
        if device == "cuda":
            if _PROVIDERS[device] not in onnxruntime.get_available_providers():
                raise _wrong_provider(device, _PROVIDERS["cpu"])
            onnxruntime.preload_dlls()  # CUDA's libraries out of the packages that onnxruntime-gpu[cuda,cudnn] brings
        try:
            given_model = model if isinstance(model, bytes) else str(model)
            self._session = onnxruntime.InferenceSession(given_model, options, [_PROVIDERS[device]])
        except Exception as error:  # onnxruntime's own exceptions share no base class
            raise IntegrityError(self._model, f"ONNX Runtime cannot load it ({error})", "export it again") from error
        self.provider: str = self._session.get_providers()[0]
        if self.provider != _PROVIDERS[device]:
            raise _wrong_provider(device, self.provider)
        given = self._session.get_inputs()[0]
        self._input, self._preprocess = given.name, preprocess
        self._output = self._session.get_outputs()[0].name
        self._bytes, self._values = given.type == "tensor(uint8)", given.name == "pixel_values"
        self._fits = not self.takes_images or (fitted and not self.detects and preprocess.resized is None)
        self._shrinks = fitted and not self._fits and not self.detects  # the graph crops what it would resize to

    @property
    def detects(self) -> bool:
        """Whether it is a detector."""
        return self._output == "detections"

    @property
    def takes_images(self) -> bool:
        """Whether its graph resizes."""
        return self._bytes or self._values

    def answers(self, images: Sequence[bytes], name: str = "image") -> Array:
        """Image files' bytes → probabilities `[N, classes]`, or detections `[N, most, 6]`, in order.

        Raises InputError for bytes that are not an image. Images of one size run as one batch.
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
        """An RGB picture → what `run` takes; small, if the graph does not resize.

        Raises InputError for an extreme aspect ratio.
        """
        check_shape(*picture.size)
        if self._fits:
            return Prepared(self._preprocess.fit(picture), picture.size)
        return Prepared(np.asarray(self._preprocess.shrink(picture) if self._shrinks else picture), picture.size)

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
        """uint8 `[N, height, width, 3]` → the network's output."""
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
    """Logits → probabilities, as a client would compute them."""
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def _wrong_provider(device: Device, provider: str) -> UnavailableError:
    remedy = "install onnxruntime-gpu with CUDA's libraries, or serve with --device cpu"
    return UnavailableError(f"device '{device}'", f"ONNX Runtime would run on {provider} instead", remedy)
