"""An image file's bytes → an upright RGB picture: the one decoder of training, gates, export and serving.

Whatever a decoder raises, from a wrong checksum to a lack of memory, is that file's fault and is said in one line.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

import numpy as np
import simplejpeg
from PIL import Image

from registry.errors import InputError
from serving.bundle.exif import orientation_of
from serving.bundle.image_header import ImageHeader, check_sides, read_header

_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""EXIF orientation → the transpose that undoes it."""


def decode(data: bytes, name: str = "image", shortest: int | None = None) -> Image.Image:
    """Image file bytes → RGB image, upright as its EXIF orientation says. Raises InputError, and nothing else.

    Only JPEG, PNG, WebP and BMP are read, and nothing else that Pillow knows: for EPS it would start Ghostscript. With
    `shortest` a JPEG may come smaller, by a power of two, as long as no side falls below so many pixels.
    """
    try:
        header = read_header(data, name)
        picture = _turbo(data, header, shortest) if header.kind == "JPEG" else None
        if picture is not None:  # without asking Pillow, which takes longer to start than to decode
            return _turned(picture, header.orientation)
        with Image.open(io.BytesIO(header.needed(data)), formats=(header.kind,)) as opened:
            if opened.size != (header.width, header.height):
                raise _undecodable(name)  # noqa: TRY301 the bounds were checked on other sides
            picture = rgb(opened)
            return _turned(picture, _orientation(opened.info) if header.kind == "WEBP" else header.orientation)
    except InputError:
        raise
    except Exception as error:  # decoders raise what they like: struct, zlib, syntax, system and memory errors were seen
        raise _undecodable(name) from error


def upright(image: Image.Image, name: str = "image") -> Image.Image:
    """A picture that somebody else opened, as `decode` gives it; it may not have been decoded yet. Raises InputError."""
    try:
        check_sides(*image.size, name)
        return _turned(rgb(image), _orientation(image.info))
    except InputError:
        raise
    except Exception as error:
        raise _undecodable(name) from error


def rgb(picture: Image.Image) -> Image.Image:
    """A picture of any mode as RGB, itself where it is that. Of 16 bits the upper eight stay, in grey as in colour."""
    picture.load()
    if picture.mode.startswith("I"):  # Pillow's own conversion cuts at 255, which makes most of such a picture white
        return Image.fromarray((np.asarray(picture) >> 8).clip(0, 255).astype(np.uint8)).convert("RGB")
    return picture if picture.mode == "RGB" else picture.convert("RGB")


def _turned(picture: Image.Image, orientation: int) -> Image.Image:
    turn = _UPRIGHT.get(orientation)
    return picture if turn is None else picture.transpose(turn)


def _orientation(info: Mapping[str | tuple[int, int], Any]) -> int:
    """The orientation that Pillow's raw metadata holds; Pillow itself would read, and may fail at, every tag."""
    exif, xmp = info.get("exif", b""), info.get("xmp", info.get("XML:com.adobe.xmp", b""))
    texts = [text.encode() if isinstance(text, str) else text for text in (exif, xmp)]
    return orientation_of(*(text if isinstance(text, bytes) else b"" for text in texts))


def _undecodable(name: str) -> InputError:
    return InputError(name, "cannot be decoded as an image", "give a whole JPEG, PNG, WebP or BMP file")


def _turbo(data: bytes, header: ImageHeader, shortest: int | None) -> Image.Image | None:
    """A valid JPEG's picture, bit for bit Pillow's result in a third of the time; None for any other file."""
    height, width = header.height, header.width
    try:
        given_height, given_width, kind, _ = simplejpeg.decode_jpeg_header(data)
        if kind not in {"YCbCr", "Gray", "RGB"} or (given_height, given_width) != (height, width):
            return None
        factor = 1 if shortest is None else next((by for by in (8, 4, 2) if min(width, height) >= shortest * by), 1)
        least = {"min_height": -(-height // factor), "min_width": -(-width // factor), "min_factor": factor}
        return Image.fromarray(simplejpeg.decode_jpeg(data, "RGB", strict=True, **(least if factor > 1 else {})))
    except Exception:  # noqa: BLE001 Pillow decides about what this decoder does not take
        return None
