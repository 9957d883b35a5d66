"""An answer drawn into its frame: bars of a classifier, boxes of a detector, frame rate and latency.

Text is white on darkened ground or on a label's own colour, so that it is read on light and on dark pictures. Colours are
those of Okabe and Ito, which people with any kind of colour blindness tell apart; each has its label beside it anyway.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from PIL import Image, ImageDraw

from pipelines.queries.live.lettering import fitted, font_of
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

    def draw(self, picture: Image.Image, answer: FrameAnswer, per_second: float) -> Image.Image:
        """A copy of an RGB picture, of the same size, with the answer in it."""
        canvas = picture.copy()
        size = min(max(round(canvas.height / _LINES), _SMALLEST), _LARGEST)
        if answer.boxes is not None:
            self._boxes(canvas, answer, size)
        else:
            self._bars(canvas, answer, size)
        _panel(canvas, (0, 0), [f"{per_second:.0f} frames/s  {answer.latency_ms:.1f} ms"], size)
        return canvas

    def _bars(self, canvas: Image.Image, answer: FrameAnswer, size: int) -> None:
        """The most probable classes at the bottom, the first on top; above them that the answer is unsure."""
        ordered = sorted((answer.probabilities or {}).items(), key=lambda item: -item[1])[:_ROWS]
        rows = [_Row(label, share, self._colour(label)) for label, share in ordered]
        step, width = round(size * 1.4), min(max(round(canvas.width * _WIDE), 12 * size), canvas.width)
        head = [_unsure(answer)] if answer.unsure else []
        top = max(canvas.height - step * (len(rows) + len(head)), 0)
        _darken(canvas, (0, top, width, canvas.height))
        pen = ImageDraw.Draw(canvas)
        for number, text in enumerate(head):
            _write(pen, (size // 2, top + number * step), fitted(text, size, width - size), size, _AMBER)
        for number, row in enumerate(rows, len(head)):
            _bar(pen, (0, top + number * step, width, top + (number + 1) * step), row, size)

    def _boxes(self, canvas: Image.Image, answer: FrameAnswer, size: int) -> None:
        """Every box, the best last, so that it lies on top; without any, the label that says so."""
        pen, thick = ImageDraw.Draw(canvas), max(size // 7, 2)
        boxes = answer.boxes or []
        for box in reversed(boxes):
            self._box(pen, canvas.size, box, (size, thick))
        if not boxes:
            _panel(canvas, (0, canvas.height - round(size * 1.4)), [answer.label or ""], size)

    def _box(self, pen: ImageDraw.ImageDraw, sides: tuple[int, int], box: dict[str, object], measures: tuple[int, int]) -> None:
        label, edges, score = str(box["label"]), box["box"], float(str(box["score"]))
        assert isinstance(edges, (list, tuple))  # noqa: S101 what `Prediction.plain` gives
        size, thick = measures
        colour = self._colour(label)
        across, down = sorted(map(float, edges[::2])), sorted(map(float, edges[1::2]))
        left, top, right, bottom = across[0], down[0], across[1], down[1]
        pen.rectangle((left - 1, top - 1, right + 1, bottom + 1), outline=_BLACK, width=thick + 2)
        pen.rectangle((left, top, right, bottom), outline=colour, width=thick)
        text = f"{fitted(label, size, sides[0] // 3)} {score:.2f}"
        long, high = font_of(size).getlength(text) + size // 2, round(size * 1.3)
        x, y = max(min(left, sides[0] - long), 0), top - high if top >= high else max(top, 0)
        pen.rectangle((x, y, x + long, y + high), fill=colour)
        _write(pen, (x + size // 4, y), text, size, _text_on(colour))

    def _colour(self, label: str) -> Colour:
        return self._colours.get(label, _COLOURS[0])


def _bar(pen: ImageDraw.ImageDraw, area: tuple[int, int, int, int], row: _Row, size: int) -> None:
    """A label, its bar and its probability in per cent, side by side."""
    left, top, right, bottom = area
    number = f"{row.share:.0%}"
    share, from_right = round((right - left) * _LABEL), round(font_of(size).getlength("100%")) + size
    _write(pen, (left + size // 2, top), fitted(row.text, size, max(share - size, 0)), size, _WHITE)
    begin, end = left + share, right - from_right
    if end > begin:
        middle, half = (top + bottom) // 2, max((bottom - top) // 4, 1)
        pen.rectangle((begin, middle - half, end, middle + half), outline=_WHITE)
        pen.rectangle((begin, middle - half, begin + (end - begin) * min(max(row.share, 0), 1), middle + half), fill=row.colour)
    _write(pen, (right - from_right + size // 2, top), number, size, _WHITE)


def _unsure(answer: FrameAnswer) -> str:
    """That no class is probable enough, and which it could be."""
    could_be = answer.could_be or []
    return f"unsure: {' or '.join(could_be)}" if could_be else "unsure"


def _panel(canvas: Image.Image, corner: tuple[int, int], lines: Sequence[str], size: int) -> None:
    """Lines of text on darkened ground."""
    step = round(size * 1.4)
    texts = [fitted(line, size, canvas.width - size) for line in lines]
    width = round(max(font_of(size).getlength(text) for text in texts)) + size
    left, top = corner[0], max(corner[1], 0)
    _darken(canvas, (left, top, left + width, top + step * len(texts)))
    pen = ImageDraw.Draw(canvas)
    for number, text in enumerate(texts):
        _write(pen, (left + size // 2, top + number * step), text, size, _WHITE)


def _darken(canvas: Image.Image, area: tuple[int, int, int, int]) -> None:
    """Let little of the picture through in an area."""
    part = canvas.crop((area[0], area[1], min(area[2], canvas.width), min(area[3], canvas.height)))
    if part.width and part.height:
        canvas.paste(Image.blend(part, Image.new("RGB", part.size, _BLACK), _DARKENED), (area[0], area[1]))


def _write(pen: ImageDraw.ImageDraw, corner: tuple[float, float], text: str, size: int, colour: Colour) -> None:
    pen.text((corner[0], corner[1] + size // 10), text, fill=colour, font=font_of(size))


def _text_on(colour: Colour) -> Colour:
    """Black or white, whichever is read on a colour."""
    red, green, blue = colour
    return _BLACK if 0.299 * red + 0.587 * green + 0.114 * blue >= _LIGHT else _WHITE
