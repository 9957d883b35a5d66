"""Suggestions as one picture to look at: each with its label and the label that is suggested."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from registry.errors import InputError
from registry.files import write_atomic
from registry.reports.reviews import Candidate
from serving.bundle.decode import decode

MOST = 60
"""Suggestions on a sheet."""
_SIDE, _TEXT, _ACROSS, _GAP = 160, 34, 6, 8
_LONGEST = 24


def write_sheet(path: Path, candidates: Sequence[Candidate], folders: tuple[Path, Path]) -> int:
    """Write the first suggestions as a JPEG; how many are on it. `folders`: the data set's, and the review's."""
    shown = candidates[:MOST]
    across = max(1, min(_ACROSS, len(shown)))
    down = max(1, -(-len(shown) // across))
    sheet = Image.new("RGB", (across * (_SIDE + _GAP) + _GAP, down * (_SIDE + _TEXT + _GAP) + _GAP), "white")
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(13)
    for index, candidate in enumerate(shown):
        left = _GAP + index % across * (_SIDE + _GAP)
        top = _GAP + index // across * (_SIDE + _TEXT + _GAP)
        picture = _thumbnail(folders[candidate.is_new] / candidate.file, candidate)
        sheet.paste(picture, (left + (_SIDE - picture.width) // 2, top + (_SIDE - picture.height) // 2))
        draw.text((left, top + _SIDE + 2), _cut(candidate.label or "no label"), fill="#777777", font=font)
        draw.text((left, top + _SIDE + 17), _cut(f"> {candidate.suggested}"), fill="#b00020", font=font)
    held = io.BytesIO()
    sheet.save(held, "JPEG", quality=88)
    write_atomic(path, held.getvalue())
    return len(shown)


def _thumbnail(path: Path, candidate: Candidate) -> Image.Image:
    """The picture with its boxes; grey where it cannot be read."""
    try:
        picture = decode(path.read_bytes(), str(path), _SIDE)
    except (InputError, OSError):
        return Image.new("RGB", (_SIDE, _SIDE), "#dddddd")
    picture.thumbnail((_SIDE, _SIDE))
    draw = ImageDraw.Draw(picture)
    for box in candidate.boxes or ():
        sides = (box.left * picture.width, box.top * picture.height, box.right * picture.width, box.bottom * picture.height)
        draw.rectangle(sides, outline="#ff2d55", width=2)
    return picture


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"
