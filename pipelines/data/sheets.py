"""Contact sheets: a look at a split's pictures, a row for each class, or with the boxes that are drawn on them."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from pipelines.data.dataset import Box, DataSet, FrameRow
from registry.digests import sha256_bytes
from registry.errors import InputError
from registry.files import write_atomic
from serving.bundle.decode import decode

_COLOURS = ("#e6194b", "#3cb44b", "#4363d8", "#f58231", "#911eb4", "#008080", "#9a6324", "#f032e6", "#808000", "#000075")
_INK, _PAPER, _GREY = "#1a1a1a", "#ffffff", "#e8e8e8"
_TEXT, _MARGIN, _LINE = 15, 8, 3


@dataclass(frozen=True, slots=True)
class Sheet:
    """How a sheet is laid out: sides of a picture in pixels, pictures in a row, and rows at most."""

    side: int = 128
    columns: int = 8
    rows: int = 40


CLASSIFIER, DETECTOR = Sheet(), Sheet(side=280, columns=4, rows=6)


def write_sheet(data: DataSet, split: str, path: Path) -> Path:
    """A split's contact sheet as a PNG file. Raises InputError where the split has no pictures."""
    buffer = BytesIO()
    draw_sheet(data, split).save(buffer, "PNG")
    write_atomic(path, buffer.getvalue())
    return path


def draw_sheet(data: DataSet, split: str, sheet: Sheet | None = None) -> Image.Image:
    """A split's contact sheet. Which pictures are on it depends on the data set alone; clips and groups take turns."""
    rows = data.held(split)
    return (
        _with_boxes(data, rows, sheet or DETECTOR)
        if data.manifest.task == "detect"
        else _by_class(data, rows, sheet or CLASSIFIER)
    )


def colour_of(labels: Sequence[str], label: str) -> str:
    """A class's colour; from the eleventh class on they repeat, and the name beside a box tells them apart."""
    return _COLOURS[labels.index(label) % len(_COLOURS)] if label in labels else _INK


def _by_class(data: DataSet, rows: Sequence[FrameRow], sheet: Sheet) -> Image.Image:
    """A row for each class: its name, how many pictures it has, and some of them."""
    labels = data.manifest.labels[: sheet.rows]
    more = len(data.manifest.labels) - len(labels)
    step, font = sheet.side + _MARGIN + _TEXT + _MARGIN, _font()
    canvas = _canvas(
        (sheet.side + _MARGIN) * sheet.columns + _MARGIN, step * len(labels) + _MARGIN + (_TEXT + _MARGIN if more else 0)
    )
    pen = ImageDraw.Draw(canvas)
    by_label: dict[str, list[FrameRow]] = defaultdict(list)
    for row in rows:
        by_label[row.label].append(row)
    for line, label in enumerate(labels):
        top = _MARGIN + line * step
        pen.text((_MARGIN, top), _short(f"{label}: {len(by_label[label]):,}", canvas.width), fill=_INK, font=font)
        for column, row in enumerate(_in_turn(by_label[label])[: sheet.columns]):
            _paste(canvas, data, row, (_MARGIN + column * (sheet.side + _MARGIN), top + _TEXT + _MARGIN, sheet.side))
    if more:
        pen.text((_MARGIN, canvas.height - _TEXT - _MARGIN), f"and {more:,} more classes", fill=_INK, font=font)
    return canvas


def _with_boxes(data: DataSet, rows: Sequence[FrameRow], sheet: Sheet) -> Image.Image:
    """Pictures with their boxes, those of rare classes first, above the classes with their colours and counts."""
    chosen = _varied(rows)[: sheet.columns * sheet.rows]
    lines = -(-len(chosen) // sheet.columns)
    counts = Counter(box.label for row in rows for box in row.boxes or ())
    legend = _legend(data.manifest.labels, counts, (sheet.side + _MARGIN) * sheet.columns)
    canvas = _canvas(
        (sheet.side + _MARGIN) * sheet.columns + _MARGIN, (sheet.side + _MARGIN) * lines + 2 * _MARGIN + legend.height
    )
    canvas.paste(legend, (_MARGIN, _MARGIN))
    for index, row in enumerate(chosen):
        left = _MARGIN + index % sheet.columns * (sheet.side + _MARGIN)
        top = legend.height + 2 * _MARGIN + index // sheet.columns * (sheet.side + _MARGIN)
        corner, size = _paste(canvas, data, row, (left, top, sheet.side))
        for box in row.boxes or ():
            _draw_box(canvas, box, (*corner, *size), colour_of(data.manifest.labels, box.label))
    return canvas


def _draw_box(canvas: Image.Image, box: Box, picture: tuple[int, int, int, int], colour: str) -> None:
    """A box with its class's name, within the picture that lies at left, top and is so wide and high."""
    left, top, width, height = picture
    xs = sorted(min(max(share, 0.0), 1.0) for share in (box.left, box.right))
    ys = sorted(min(max(share, 0.0), 1.0) for share in (box.top, box.bottom))
    x0, x1 = (left + round(share * (width - 1)) for share in xs)
    y0, y1 = (top + round(share * (height - 1)) for share in ys)
    pen, font = ImageDraw.Draw(canvas), _font(12)
    pen.rectangle((x0, y0, x1, y1), outline=colour, width=2)
    name = _short(box.label, left + width - x0, 12)
    _, _, across, down = pen.textbbox((0, 0), name, font=font)
    above = y0 - down - 2 if y0 - down - 2 >= top else y0
    pen.rectangle((x0, above, x0 + across + 4, above + down + 2), fill=colour)
    pen.text((x0 + 2, above), name, fill=_PAPER, font=font)


def _legend(labels: Sequence[str], counts: Counter[str], width: int) -> Image.Image:
    """Every class with its colour and how many boxes it has, in lines of a width."""
    entries, font = [(label, f"{label}: {counts[label]:,}") for label in labels[:60]], _font()
    measure = ImageDraw.Draw(Image.new("RGB", (1, 1)))
    spots, x, y = list[tuple[int, int, str, str]](), 0, 0
    for label, text in entries:
        name = _short(text, width - _TEXT)
        across = _TEXT + 6 + round(measure.textlength(name, font=font)) + 2 * _MARGIN
        if x and x + across > width:
            x, y = 0, y + _TEXT + _MARGIN
        spots.append((x, y, label, name))
        x += across
    legend = _canvas(width, y + _TEXT + _LINE)
    pen = ImageDraw.Draw(legend)
    for left, top, label, name in spots:
        pen.rectangle((left, top + 2, left + _TEXT - 3, top + _TEXT - 1), fill=colour_of(labels, label))
        pen.text((left + _TEXT + 2, top), name, fill=_INK, font=font)
    return legend


def _paste(
    canvas: Image.Image, data: DataSet, row: FrameRow, where: tuple[int, int, int]
) -> tuple[tuple[int, int], tuple[int, int]]:
    """Put a picture into a square; where its corner is and how large it became. One that cannot be read is a grey square."""
    left, top, side = where
    ImageDraw.Draw(canvas).rectangle((left, top, left + side - 1, top + side - 1), fill=_GREY)
    try:
        image = decode((data.folder / row.file).read_bytes(), row.file, side)
    except (OSError, InputError):
        return (left, top), (side, side)
    scale = side / max(image.size)
    image = image.resize((max(round(image.width * scale), 1), max(round(image.height * scale), 1)))
    corner = left + (side - image.width) // 2, top + (side - image.height) // 2
    canvas.paste(image, corner)
    return corner, image.size


def _in_turn(rows: Sequence[FrameRow]) -> list[FrameRow]:
    """The first of each clip, then the second of each, and so on; in an order that depends on nothing but the bytes."""
    by_clip: dict[str, list[FrameRow]] = defaultdict(list)
    for row in sorted(rows, key=lambda row: sha256_bytes(row.file.encode())):
        by_clip[row.clip].append(row)
    queues = list(by_clip.values())
    return [queue[turn] for turn in range(max(map(len, queues), default=0)) for queue in queues if turn < len(queue)]


def _varied(rows: Sequence[FrameRow]) -> list[FrameRow]:
    """Pictures so that each class is seen early: by the rarest class in them, in turn; empty ones are a class too."""
    counts = Counter(label for row in rows for label in row.labels)
    queues: dict[str, list[FrameRow]] = defaultdict(list)
    for row in _in_turn(rows):
        queues[min(row.labels, key=lambda label: (counts[label], label), default="")].append(row)
    order = sorted(queues, key=lambda label: (label == "", counts[label], label))
    return [
        queues[label][turn]
        for turn in range(max(map(len, queues.values()), default=0))
        for label in order
        if turn < len(queues[label])
    ]


def _canvas(width: int, height: int) -> Image.Image:
    return Image.new("RGB", (width, max(height, 1)), _PAPER)


def _font(size: int = _TEXT) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)


def _short(text: str, width: int, size: int = _TEXT) -> str:
    """The text on one line, cut so that it fits a width."""
    text, font = " ".join(text.split()), _font(size)
    while len(text) > 1 and font.getlength(text) > max(width - _MARGIN, 0):
        text = f"{text[:-2]}…"
    return text
