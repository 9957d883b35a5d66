"""The one definition of what happens between an image file's bytes and the network's input.

decode (EXIF orientation applied, RGB) → the shorter side to `size`, antialiased bilinear → centre crop
`size` x `size` → divide by 255. It is what Ultralytics and torchvision do for classification, down to
the rounding: the long side is `int(size * long / short)`, the crop starts at `round((side - size) / 2)`.

For a model trained with `decode: reduced`, JPEGs are decoded at 1/2, 1/4 or 1/8 as long as their shorter side stays
at least twice `size`: libjpeg then leaves most of the work out, and the antialiased resize still has pixels to average.

Classifiers that were trained elsewhere (`modelyard register`) may have been given pictures in another way: squeezed to a
square, bicubic, or resized to more than is cropped (`resized`). Normalisation is never here: it is in the network's graph.

For detection it is Ultralytics' letterbox: the longer side to `size`, bilinear without antialiasing as
OpenCV does it, in the middle of a grey square.

Training, gates, the predictor and the TF.js runner all use it or are checked against it by parity; a plain
squash to a square loses a quarter of the top-1 agreement.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self, get_args, get_type_hints

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from registry.errors import InputError
from serving.bundle.decode import decode
from serving.bundle.image_header import check_shape

_REDUCED_TO = 2
"""A picture that is decoded at reduced scale keeps so many times the pixels of the network's input, in each direction."""

Pixels = NDArray[np.uint8]
Tensor = NDArray[np.float32]


@dataclass(frozen=True)
class Preprocess:
    """How images become tensors for one model. Written into its bundle as `preprocess.json`.

    A plain dataclass that checks itself: pydantic or msgspec would lengthen a cold start.
    """

    size: int
    layout: Literal["NCHW", "NHWC"] = "NCHW"
    resize: Literal[
        "shortest side, bilinear, antialiased",
        "shortest side, bicubic, antialiased",
        "both sides, bilinear, antialiased",
        "both sides, bicubic, antialiased",
        "longest side, bilinear",
    ] = "shortest side, bilinear, antialiased"
    crop: Literal["centre", "centre, rounded down", "none, padded with grey 114"] = "centre"
    scale: Literal["1/255"] = "1/255"
    decode: Literal["full", "reduced"] = "full"
    resized: int | None = None
    """To how many pixels a side is resized before the crop; None: to `size`."""

    def __post_init__(self) -> None:
        """Raise InputError for an unknown value: a newer version's preprocessing must not be guessed."""
        hints = get_type_hints(type(self))
        for name in ("layout", "resize", "crop", "scale", "decode"):
            if getattr(self, name) not in get_args(hints[name]):
                raise _unknown(f"{name} '{getattr(self, name)}'")
        if not isinstance(self.size, int) or self.size <= 0:
            raise _unknown(f"size {self.size!r}")
        if self.resized is not None and not (isinstance(self.resized, int) and self.resized >= self.size):
            raise _unknown(f"resized {self.resized!r} for a crop of {self.size}")
        if self.decode == "reduced" and (self.letterboxes or not self.is_plain):
            raise _unknown("decoding at reduced scale for boxes, or for another way to resize")

    @classmethod
    def of(cls, fields: Mapping[str, Any]) -> Self:
        """The preprocessing that plain data describes."""
        try:
            return cls(**fields)
        except TypeError as error:
            raise _unknown(f"fields {', '.join(fields)}") from error

    @property
    def is_plain(self) -> bool:
        """Whether it is what Modelyard's own classifiers are trained with, which needs no further word."""
        return (self.resize, self.crop, self.resized) == ("shortest side, bilinear, antialiased", "centre", None)

    @property
    def side(self) -> int:
        """To how many pixels a side is resized."""
        return self.resized or self.size

    @property
    def letterboxes(self) -> bool:
        """Whether the whole picture lies in the middle of grey, as detectors take it."""
        return self.resize.startswith("longest")

    @property
    def squeezes(self) -> bool:
        """Whether both sides are resized, so that a picture that is no square is squeezed into one."""
        return self.resize.startswith("both")

    @property
    def bicubic(self) -> bool:
        """Whether it resizes by cubic curves, and not by straight lines."""
        return "bicubic" in self.resize

    def pixels(self, data: bytes, name: str = "image") -> Pixels:
        """Image file bytes → uint8 RGB `[size, size, 3]`. Raises InputError for bytes that are not an image."""
        return self.fit(self.open(data, name))

    def open(self, data: bytes, name: str = "image") -> Image.Image:
        """Image file bytes → RGB picture, decoded as for training. Raises InputError for bytes that are not an image."""
        return decode(data, name, self.size * _REDUCED_TO if self.decode == "reduced" else None)

    def fit(self, image: Image.Image) -> Pixels:
        """RGB image → uint8 `[size, size, 3]`: resize and crop."""
        if self.letterboxes:
            check_shape(*image.size)
            return letterbox(np.asarray(image), self.size)
        image = self.shrink(image)
        rounded = int if self.crop.endswith("down") else round
        left, top = (rounded((side - self.size) / 2) for side in image.size)
        return np.asarray(image.crop((left, top, left + self.size, top + self.size)))

    def shrink(self, image: Image.Image) -> Image.Image:
        """RGB image → the same, resized and not cropped; one that is of that size already stays as it is."""
        width, height = image.size
        check_shape(width, height)
        short, long = min(width, height), max(width, height)
        scaled = self.side if self.squeezes else int(self.side * long / short)
        target = (self.side, scaled) if width <= height else (scaled, self.side)
        return image.resize(target, Image.Resampling.BICUBIC if self.bicubic else Image.Resampling.BILINEAR)

    def tensor(self, pixels: Pixels) -> Tensor:
        """uint8 `[N, size, size, 3]` → float32 in 0..1, `[N, 3, size, size]` or NHWC as `layout` says."""
        scaled = pixels.astype(np.float32) / np.float32(255)
        return np.ascontiguousarray(scaled.transpose(0, 3, 1, 2)) if self.layout == "NCHW" else scaled


def _unknown(what: str) -> InputError:
    return InputError("preprocessing", f"{what} is not supported here", "use the version that exported it, or export it again")


def letterbox(pixels: Pixels, size: int) -> Pixels:
    """uint8 RGB of any size → uint8 `[size, size, 3]`, whole and in the middle of grey, as Ultralytics does it."""
    import cv2  # only detection without preprocessing in the graph needs it

    height, width = pixels.shape[:2]
    ratio = min(size / height, size / width)
    inner = max(round(width * ratio), 1), max(round(height * ratio), 1)
    resized = cv2.resize(pixels, inner, interpolation=cv2.INTER_LINEAR)
    left, top = (round((size - side) / 2 - 0.1) for side in inner)
    canvas = np.full((size, size, 3), 114, np.uint8)
    canvas[top : top + inner[1], left : left + inner[0]] = resized
    return canvas


def from_letterbox(boxes: Tensor, size: int, width: int, height: int) -> Tensor:
    """Boxes `[N, 4]` in the letterbox's pixels → in those of an image of `width` x `height`, cut at its edges."""
    ratio = min(size / height, size / width)
    left, top = (round((size - max(round(side * ratio), 1)) / 2 - 0.1) for side in (width, height))
    placed = (boxes - np.asarray([left, top, left, top], np.float32)) / np.float32(ratio)
    return np.clip(placed, 0, np.asarray([width, height, width, height], np.float32))


def read_pixels(preprocess: Preprocess, files: Iterable[Path]) -> Iterator[Pixels]:
    """Image files → uint8 `[size, size, 3]` each, in order."""
    for file in files:
        yield preprocess.pixels(file.read_bytes(), str(file))


def stack_pixels(preprocess: Preprocess, files: Iterable[Path]) -> Pixels:
    """Image files → uint8 `[N, size, size, 3]`."""
    rows = list(read_pixels(preprocess, files))
    return np.stack(rows) if rows else np.zeros((0, preprocess.size, preprocess.size, 3), np.uint8)
