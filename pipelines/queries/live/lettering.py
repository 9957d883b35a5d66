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
"""Texts and characters whose pixels were looked at; labels come again with every frame."""


class Lettering:
    """Text of one size in pixels."""

    def __init__(self, size: int) -> None:
        """Load the font."""
        self.size, self.font = size, _font(size)
        self._missing = self._drawn(_NO_CHARACTER)
        self._has = lru_cache(_REMEMBERED)(self._looked_up)
        self.drawable = lru_cache(_REMEMBERED)(self._drawable)
        """The text with what cannot be drawn as its number: line ends, lone surrogates, letters that the font lacks."""
        self.fitted = lru_cache(_REMEMBERED)(self._fitted)
        """The drawable text, cut at its end to at most so many pixels; empty where not even dots fit."""

    def length(self, text: str) -> float:
        """How many pixels a drawable text takes."""
        return self.font.getlength(text)

    def _drawable(self, text: str) -> str:
        return "".join(char if self._has(char) else char.encode("unicode_escape").decode() for char in text)

    def _fitted(self, text: str, width: int) -> str:
        text = self._drawable(text)
        if self.length(text) <= width:
            return text
        low, high = 0, len(text)
        while low < high:
            middle = (low + high + 1) // 2
            low, high = (middle, high) if self.length(text[:middle] + _ELLIPSIS) <= width else (low, middle - 1)
        return text[:low] + _ELLIPSIS if self.length(text[:low] + _ELLIPSIS) <= width else ""

    def _looked_up(self, char: str) -> bool:
        if char == " " or not char.isprintable():
            return char == " "
        return self._missing is None or self._drawn(char) != self._missing

    def _drawn(self, char: str) -> tuple[tuple[int, int], bytes] | None:
        """A character's size and pixels; None for a font of bitmaps that has no such character."""
        try:
            mask: Any = self.font.getmask(char)  # its stub does not say that it can be read as bytes
        except UnicodeEncodeError:
            return None
        return mask.size, bytes(mask)


def _font(size: int) -> Font:
    """DejaVu Sans, which comes with matplotlib and has Latin, Greek, Cyrillic, Hebrew and Arabic; else Pillow's own."""
    package = find_spec("matplotlib")
    if package is not None and package.origin:
        path = Path(package.origin).parent / "mpl-data/fonts/ttf/DejaVuSans.ttf"
        if path.is_file():
            return ImageFont.truetype(str(path), size)
    return ImageFont.load_default(size)
