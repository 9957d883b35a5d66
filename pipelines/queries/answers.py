"""What was answered about pictures, as rows: for people, for spreadsheets and for machines."""

from __future__ import annotations

import csv
import io
import json
from typing import Annotated, Any

from pydantic import Field

from registry.records import Record

COLUMNS = ("image", "frame", "seconds", "label", "probability", "probabilities", "could_be", "boxes", "served_by", "error")
"""Of every row, in CSV and in JSON."""

_FORMULA = "=+-@\t\r\n"
_Score = Annotated[float, Field(allow_inf_nan=False)]


class Answer(Record):
    """What one picture, or one frame of a video, shows, by whom; or why there is no answer.

    `could_be` are the classes of which one is the true one, at the confidence of the version's own evaluation: more than one is
    "unsure". None where that was not measured. `boxes` are a detector's, where the place that served gives them.
    """

    image: str
    frame: int | None = None
    seconds: float | None = None
    label: str | None = None
    probability: _Score | None = None
    probabilities: dict[str, _Score] | None = None
    could_be: list[str] | None = None
    boxes: list[dict[str, Any]] | None = None
    served_by: str | None = None
    error: str | None = None

    @property
    def subject(self) -> str:
        """The picture as people read it: nothing in a file's name acts on a terminal."""
        at = "" if self.seconds is None else f" at {self.seconds:.2f} s"
        return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in self.image) + at


def csv_line(cells: tuple[object, ...]) -> str:
    """A line of CSV. A text that a spreadsheet would take for a formula is marked as text by an apostrophe."""
    held = io.StringIO()
    csv.writer(held, lineterminator="\r\n").writerow([_cell(cell) for cell in cells])  # it quotes what is in a line's end
    return held.getvalue().removesuffix("\r\n")


def csv_row(answer: Answer) -> str:
    """An answer as a line of CSV; probabilities and boxes are JSON in their cells."""
    return csv_line(tuple(getattr(answer, name) for name in COLUMNS))


def _cell(value: object) -> object:
    if value is None:
        return ""
    if isinstance(value, (dict, list)):
        return json.dumps(value, ensure_ascii=False)
    return f"'{value}" if isinstance(value, str) and value[:1] in _FORMULA and value else value
