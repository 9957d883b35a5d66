"""An answer drawn into its frame: bars of a classifier, boxes of a detector, frame rate and latency.

Text is white on darkened ground or on a label's own colour, so that it is read on light and on dark pictures. Colours are
those of Okabe and Ito, which people with any kind of colour blindness tell apart; each has its label beside it anyway.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from PIL import Image, ImageDraw

from pipelines.queries.live.lettering import Lettering
from pipelines.queries.live.records import FrameAnswer

Colour = tuple[int, int, int]
_COLOURS: tuple[Colour, ...] = (
    *((86, 180, 233), (230, 159, 0), (0, 158, 115), (240, 228, 66)),
    *((213, 94, 0), (204, 121, 167), (0, 114, 178)),
)
_WHITE, _BLACK, _AMBER = (255, 255, 255), (0, 0, 0), (240, 228, 66)
_LIGHT = 100
"""Grey levels from which on a colour needs black text."""
_SMALLEST, _LARGEST, _LINES = 11, 40, 26
"""Pixels of text, which is about one of 26 lines of a frame."""
_DARKENED = 0.72
_ROWS = 3
_WIDE, _LABEL = 0.55, 0.42
"""The share of the frame's width that the bars with their labels take, and the labels' share of that."""


class _Row(NamedTuple):
    text: str
    share: float
    colour: Colour


class Overlay:
    """Draws into frames of any size. `labels` give each class its colour."""

    def __init__(self, labels: Sequence[str]) -> None:
        """Nothing is drawn yet."""
        self._colours = {label: _COLOURS[index % len(_COLOURS)] for index, label in enumerate(labels)}
        self._lettering = Lettering(_SMALLEST)

    def draw(self, picture: Image.Image, answer: FrameAnswer, per_second: float) -> Image.Image:
        """A copy of an RGB picture, of the same size, with the answer in it."""
        canvas = picture.copy()
        size = min(max(round(canvas.height / _LINES), _SMALLEST), _LARGEST)
        if size != self._lettering.size:
            self._lettering = Lettering(size)
        if answer.boxes is not None:
            self._boxes(canvas, answer)
        else:
            self._bars(canvas, answer)
        _panel(canvas, 0, f"{per_second:.0f} frames/s  {answer.latency_ms:.1f} ms", self._lettering)
        return canvas

    def _bars(self, canvas: Image.Image, answer: FrameAnswer) -> None:
        """The most probable classes at the bottom, the first on top; above them that the answer is unsure."""
        ordered = sorted((answer.probabilities or {}).items(), key=lambda item: -item[1])[:_ROWS]
        rows = [_Row(label, share, self._colour(label)) for label, share in ordered]
        letters, size = self._lettering, self._lettering.size
        step, width = round(size * 1.4), min(max(round(canvas.width * _WIDE), 12 * size), canvas.width)
        head = [_unsure(answer)] if answer.unsure else []
        top = max(canvas.height - step * (len(rows) + len(head)), 0)
        _darken(canvas, (0, top, width, canvas.height))
        pen = ImageDraw.Draw(canvas)
        for number, text in enumerate(head):
            _write(pen, (size // 2, top + number * step), letters.fitted(text, width - size), letters, _AMBER)
        for number, row in enumerate(rows, len(head)):
            _bar(pen, (0, top + number * step, width, top + (number + 1) * step), row, letters)

    def _boxes(self, canvas: Image.Image, answer: FrameAnswer) -> None:
        """Every box, the best last, so that it lies on top; without any, the label that says so."""
        pen, boxes = ImageDraw.Draw(canvas), answer.boxes or []
        for box in reversed(boxes):
            self._box(pen, canvas.width, box)
        if not boxes:
            _panel(canvas, canvas.height - round(self._lettering.size * 1.4), answer.label or "", self._lettering)

    def _box(self, pen: ImageDraw.ImageDraw, width: int, box: dict[str, object]) -> None:
        label, edges, score = str(box["label"]), box["box"], float(str(box["score"]))
        assert isinstance(edges, (list, tuple))  # noqa: S101 what `Prediction.plain` gives
        letters, size, colour = self._lettering, self._lettering.size, self._colour(label)
        thick = max(size // 7, 2)
        across, down = sorted(map(float, edges[::2])), sorted(map(float, edges[1::2]))
        left, top, right, bottom = across[0], down[0], across[1], down[1]
        pen.rectangle((left - 1, top - 1, right + 1, bottom + 1), outline=_BLACK, width=thick + 2)
        pen.rectangle((left, top, right, bottom), outline=colour, width=thick)
        text = f"{letters.fitted(label, width // 3)} {score:.2f}"
        long, high = letters.length(text) + size // 2, round(size * 1.3)
        x, y = max(min(left, width - long), 0), top - high if top >= high else max(top, 0)
        pen.rectangle((x, y, x + long, y + high), fill=colour)
        _write(pen, (x + size // 4, y), text, letters, _text_on(colour))

    def _colour(self, label: str) -> Colour:
        return self._colours.get(label, _COLOURS[0])


def _bar(pen: ImageDraw.ImageDraw, area: tuple[int, int, int, int], row: _Row, letters: Lettering) -> None:
    """A label, its bar and its probability in per cent, side by side."""
    (left, top, right, bottom), size = area, letters.size
    share, from_right = round((right - left) * _LABEL), round(letters.length("100%")) + size
    _write(pen, (left + size // 2, top), letters.fitted(row.text, max(share - size, 0)), letters, _WHITE)
    begin, end = left + share, right - from_right
    if end > begin:
        middle, half = (top + bottom) // 2, max((bottom - top) // 4, 1)
        pen.rectangle((begin, middle - half, end, middle + half), outline=_WHITE)
        pen.rectangle((begin, middle - half, begin + (end - begin) * min(max(row.share, 0), 1), middle + half), fill=row.colour)
    _write(pen, (right - from_right + size // 2, top), f"{row.share:.0%}", letters, _WHITE)


def _unsure(answer: FrameAnswer) -> str:
    """That no class is probable enough, and which it could be."""
    could_be = answer.could_be or []
    return f"unsure: {' or '.join(could_be)}" if could_be else "unsure"


def _panel(canvas: Image.Image, top: int, line: str, letters: Lettering) -> None:
    """A line of text on darkened ground, at the left."""
    size, top = letters.size, max(top, 0)
    text = letters.fitted(line, canvas.width - size)
    _darken(canvas, (0, top, round(letters.length(text)) + size, top + round(size * 1.4)))
    _write(ImageDraw.Draw(canvas), (size // 2, top), text, letters, _WHITE)


def _darken(canvas: Image.Image, area: tuple[int, int, int, int]) -> None:
    """Let little of the picture through in an area."""
    part = canvas.crop((area[0], area[1], min(area[2], canvas.width), min(area[3], canvas.height)))
    if part.width and part.height:
        canvas.paste(Image.blend(part, Image.new("RGB", part.size, _BLACK), _DARKENED), (area[0], area[1]))


def _write(pen: ImageDraw.ImageDraw, corner: tuple[float, float], text: str, letters: Lettering, colour: Colour) -> None:
    pen.text((corner[0], corner[1] + letters.size // 10), text, fill=colour, font=letters.font)


def _text_on(colour: Colour) -> Colour:
    """Black or white, whichever is read on a colour."""
    red, green, blue = colour
    return _BLACK if 0.299 * red + 0.587 * green + 0.114 * blue >= _LIGHT else _WHITE
