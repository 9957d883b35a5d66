"""Edge-case pictures made of real ones: what users send and data sets lack."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from PIL import Image

from serving.bundle.preprocess import decode

_TINY = (16, 12)
_SIDEWAYS = 6
"""EXIF: turn the picture by 90 degrees to see it upright."""


def make_hard_images(images: Sequence[Path], folder: Path) -> list[Path]:
    """Wide, tall, turned by EXIF, grey, tiny, transparent, and of few colours: one of each real image given, in turn."""
    made: list[Path] = []
    for number, image in enumerate(images):
        name, write = list(_KINDS.items())[number % len(_KINDS)]
        path = folder / f"{number:02d}-{name}"
        write(decode(image.read_bytes(), str(image)), path)
        made.append(path)
    return made


def _wide(image: Image.Image, path: Path) -> None:
    image.resize((image.width * 3, image.height)).save(path, quality=92)


def _tall(image: Image.Image, path: Path) -> None:
    image.resize((image.width, image.height * 2 + 1)).save(path, quality=92)


def _turned(image: Image.Image, path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = _SIDEWAYS
    image.rotate(90, expand=True).save(path, quality=92, exif=exif)


def _grey(image: Image.Image, path: Path) -> None:
    image.convert("L").save(path, quality=92)


def _tiny(image: Image.Image, path: Path) -> None:
    image.resize(_TINY).save(path)


def _transparent(image: Image.Image, path: Path) -> None:
    image.convert("RGBA").save(path)


def _few_colours(image: Image.Image, path: Path) -> None:
    image.quantize(32).save(path)


_KINDS: dict[str, Callable[[Image.Image, Path], None]] = {
    "wide.jpg": _wide,
    "tall.jpg": _tall,
    "turned.jpg": _turned,
    "grey.jpg": _grey,
    "tiny.png": _tiny,
    "transparent.png": _transparent,
    "palette.png": _few_colours,
}
