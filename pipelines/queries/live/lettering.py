"""Labels as text in a picture: any Unicode is drawn, or written as its number where no font here has it."""

from __future__ import annotations

from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from PIL import ImageFont

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont
_NO_CHARACTER = "\uffff"
"""It is defined to be none, so every font draws its own sign for what it lacks."""
_ELLIPSIS = "..."
_REMEMBERED = 4096


@lru_cache(maxsize=16)
def font_of(size: int) -> Font:
    """DejaVu Sans, which comes with matplotlib and has Latin, Greek, Cyrillic, Hebrew and Arabic; else Pillow's own."""
    package = find_spec("matplotlib")
    if package is not None and package.origin:
        path = Path(package.origin).parent / "mpl-data/fonts/ttf/DejaVuSans.ttf"
        if path.is_file():
            return ImageFont.truetype(str(path), size)
    return ImageFont.load_default(size)


@lru_cache(maxsize=_REMEMBERED)
def drawable(text: str, size: int) -> str:
    """The text with what cannot be drawn as its number: line ends, lone surrogates, letters that the font lacks."""
    return "".join(char if _has(char, size) else char.encode("unicode_escape").decode() for char in text)


@lru_cache(maxsize=_REMEMBERED)
def fitted(text: str, size: int, width: int) -> str:
    """The drawable text, cut at its end to at most `width` pixels; empty where not even dots fit."""
    text, font = drawable(text, size), font_of(size)
    if font.getlength(text) <= width:
        return text
    low, high = 0, len(text)
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if font.getlength(text[:middle] + _ELLIPSIS) <= width else (low, middle - 1)
    return text[:low] + _ELLIPSIS if font.getlength(text[:low] + _ELLIPSIS) <= width else ""


@lru_cache(maxsize=_REMEMBERED)
def _has(char: str, size: int) -> bool:
    if char == " " or not char.isprintable():
        return char == " "
    font = font_of(size)
    missing = _drawn(font, _NO_CHARACTER)
    return missing is None or _drawn(font, char) != missing


def _drawn(font: Font, char: str) -> tuple[tuple[int, int], bytes] | None:
    """A character's size and pixels; None for a font of bitmaps that has no such character."""
    try:
        mask: Any = font.getmask(char)  # its stub does not say that it can be read as bytes
    except UnicodeEncodeError:
        return None
    return mask.size, bytes(mask)
