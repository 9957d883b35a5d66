"""Mistakes to look at: one image of each clip with a wrong answer, as a contact sheet; and the classes as a table."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from registry.errors import InputError
from registry.records import Evaluation
from serving.bundle.decode import decode

if TYPE_CHECKING:
    from pathlib import Path

    from pipelines.evaluation.answers import ScoredSplit

MOST = 60
"""Clips on a sheet."""
_SIDE, _TEXT, _ACROSS, _GAP, _HEAD = 160, 50, 6, 8, 24
_LONGEST = 24
_GREY, _RED = "#777777", "#b00020"


def worst_of_each_clip(scored: ScoredSplit) -> list[int]:
    """Of each clip with wrong answers the position of the one that was given most surely, the surest first."""
    sure, right, seen, worst = scored.sure, scored.right, set[str](), list[int]()
    for index in np.argsort(-sure, kind="stable").tolist():
        if not right[index] and scored.rows[index].clip not in seen:
            seen.add(scored.rows[index].clip)
            worst.append(index)
    return worst


def mistakes_sheet(scored: ScoredSplit) -> Image.Image | None:
    """The sheet: under each image its clip, its class, and the wrong answer with its probability. None without a mistake."""
    worst = worst_of_each_clip(scored)
    if not worst:
        return None
    shown, guesses, clips = worst[:MOST], scored.guesses, len({row.clip for row in scored.rows})
    across = max(3, min(_ACROSS, len(shown)))
    down = -(-len(shown) // across)
    sheet = Image.new("RGB", (across * (_SIDE + _GAP) + _GAP, _HEAD + down * (_SIDE + _TEXT + _GAP) + _GAP), "white")
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(13)
    more = f", {len(shown)} shown" if len(shown) < len(worst) else ""
    pen.text((_GAP, 6), f"{len(worst)} of {clips} clips with a wrong answer{more}", fill="#1a1a1a", font=font)
    for index, position in enumerate(shown):
        left = _GAP + index % across * (_SIDE + _GAP)
        top = _HEAD + _GAP + index // across * (_SIDE + _TEXT + _GAP)
        picture = _thumbnail(scored.files[position])
        sheet.paste(picture, (left + (_SIDE - picture.width) // 2, top + (_SIDE - picture.height) // 2))
        answer = scored.labels[guesses[position]] if guesses[position] >= 0 else "no number"
        row = scored.rows[position]
        lines = ((row.clip, _GREY), (row.label, "#1a1a1a"), (f"{_cut(answer, 18)} {scored.sure[position]:.0%}", _RED))
        for line, (text, colour) in enumerate(lines):
            pen.text((left, top + _SIDE + 2 + 15 * line), _cut(text), fill=colour, font=font)
    return sheet


def _thumbnail(path: Path) -> Image.Image:
    """The picture; grey where it cannot be read."""
    try:
        picture = decode(path.read_bytes(), str(path), _SIDE)
    except (InputError, OSError):
        return Image.new("RGB", (_SIDE, _SIDE), "#dddddd")
    scale = _SIDE / max(picture.size)
    return picture.resize((max(round(picture.width * scale), 1), max(round(picture.height * scale), 1)))


def _cut(text: str, longest: int = _LONGEST) -> str:
    text = " ".join(text.split())
    return text if len(text) <= longest else f"{text[: longest - 1]}…"


def class_table(evaluation: Evaluation, labels: Sequence[str]) -> str:
    """A CSV of the classes, the worst first: their scores, and the class that each is most often taken for, how often.

    `labels` name the columns of the confusion matrix.
    """
    scores = sorted(evaluation.classes, key=lambda score: score.f1)
    if not scores:
        return ""
    rows_of = dict(zip(labels, evaluation.confusion, strict=False))
    fields = list(scores[0].model_dump())
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow([*fields, "most_often_taken_for", "times"])
    for score in scores:
        counts = [0 if label == score.label else count for label, count in zip(labels, rows_of[score.label], strict=True)]
        times = max(counts, default=0)
        taken_for = labels[counts.index(times)] if times else ""
        values = [_rounded(value) for value in score.model_dump(mode="json").values()]
        writer.writerow([*map(_plain, values), _plain(taken_for), times or ""])
    return out.getvalue()


def _rounded(value: object) -> object:
    return round(value, 4) if isinstance(value, float) else value


def _plain(value: object) -> object:
    """A cell that a spreadsheet shows and does not compute."""
    return f"'{value}" if isinstance(value, str) and value[:1] in {"=", "+", "-", "@", "\t"} else value
