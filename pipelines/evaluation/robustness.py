"""How a classifier does on worse pictures: blurred, darker, compressed and noisy ones, in three strengths each.

A picture is decoded, scaled down to twice the side of the network's input where it is larger, made worse, and fitted to the
input by the model's own preprocessing. So a strength means the same for a phone's photographs and for a webcam's frames. What
is written is a file without loss of exactly the input's size, which the preprocessing leaves as it is.
"""

from __future__ import annotations

import io
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from pipelines.evaluation.scores import HeldOutSet, Probabilities
from registry.records import Robustness
from serving.bundle.preprocess import Preprocess

Noise = NDArray[np.float32]
MOST_IMAGES, _LEAST_IMAGES, _FULL_SIDE = 200, 64, 128
_BLUR = (0.01, 0.02, 0.04)
"""Standard deviation, as a share of the shorter side."""
_DARK = (0.5, 0.25, 0.1)
"""What is left of the light."""
_JPEG = (30, 15, 5)
"""Quality."""
_NOISE = (10.0, 25.0, 50.0)
"""Standard deviation in grey levels, of each channel of each pixel."""


def _blur(picture: Image.Image, strength: int, _: Noise) -> Image.Image:
    return picture.filter(ImageFilter.GaussianBlur(_BLUR[strength] * min(picture.size)))


def _dark(picture: Image.Image, strength: int, _: Noise) -> Image.Image:
    return picture.point([round(level * _DARK[strength]) for level in range(256)] * 3)


def _jpeg(picture: Image.Image, strength: int, _: Noise) -> Image.Image:
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=_JPEG[strength])
    with Image.open(file, formats=("JPEG",)) as opened:
        opened.load()
        return opened


def _noise(picture: Image.Image, strength: int, noise: Noise) -> Image.Image:
    pixels = np.asarray(picture, np.float32) + np.float32(_NOISE[strength]) * noise
    return Image.fromarray(pixels.round().clip(0, 255).astype(np.uint8))


_KINDS: dict[str, Callable[[Image.Image, int, Noise], Image.Image]] = {
    "blur": _blur,
    "dark": _dark,
    "jpeg": _jpeg,
    "noise": _noise,
}
CORRUPTIONS = tuple(f"{kind}_{strength}" for kind in _KINDS for strength in (1, 2, 3))
"""The names, as metrics and gates have them."""


def images_for(size: int) -> int:
    """How many images are made worse, for a network's input side: 200 up to 128 px, fewer above, so that it stays quick."""
    return max(min(MOST_IMAGES, MOST_IMAGES * _FULL_SIDE**2 // size**2), _LEAST_IMAGES)


def write_worse(preprocess: Preprocess, images: Sequence[Path], folder: Path) -> list[Path]:
    """Each image in each of the twelve ways, as files in `folder`: all of `blur_1`, then all of `blur_2`, and so on.

    The same image comes out the same each time: its noise depends on its bytes alone.
    """
    paths = [[folder / f"{name}-{index}.bmp" for index in range(len(images))] for name in CORRUPTIONS]
    for index, image in enumerate(images):
        content = image.read_bytes()
        picture = _reduced(preprocess.open(content, str(image)), 2 * preprocess.size)
        random = np.random.default_rng(zlib.crc32(content))
        noise = random.standard_normal((picture.height, picture.width, 3), np.float32)
        for files, name in zip(paths, CORRUPTIONS, strict=True):
            kind, _, strength = name.rpartition("_")
            worse = _KINDS[kind](picture, int(strength) - 1, noise)
            Image.fromarray(preprocess.fit(worse)).save(files[index])
    return [file for files in paths for file in files]


def robustness(clean: Probabilities, worse: Probabilities, held: HeldOutSet) -> Robustness:
    """Top-1 on the images as they are, and in each way made worse; `worse` in the order of `write_worse`."""
    count = len(held.targets)
    parts = {name: worse[index * count : (index + 1) * count] for index, name in enumerate(CORRUPTIONS)}
    return Robustness(
        images=count,
        clips=len(set(held.clips)),
        clean=_top1(clean, held),
        top1={name: _top1(answers, held) for name, answers in parts.items()},
    )


def _reduced(picture: Image.Image, side: int) -> Image.Image:
    """The picture with a shorter side of at most `side`."""
    short = min(picture.size)
    if short <= side:
        return picture
    width, height = (max(round(length * side / short), 1) for length in picture.size)
    return picture.resize((width, height), Image.Resampling.BILINEAR, reducing_gap=2.0)


def _top1(probabilities: Probabilities, held: HeldOutSet) -> float:
    """The share that is right; a row with a NaN in it is wrong."""
    finite = np.isfinite(probabilities).all(axis=1)
    guesses = np.nan_to_num(probabilities, nan=-1.0).argmax(axis=1)
    return float(((guesses == held.targets) & finite).mean())
