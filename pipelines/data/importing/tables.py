"""Roboflow's tables: `_classes.csv` for classes, `_annotations.csv` for boxes, one in each split's folder.

`supervision` does not read them.
"""

from __future__ import annotations

import csv
from collections import defaultdict
from pathlib import Path

from pipelines.data.importing.layout import Entry, Layout, RawBox, UnreadableError, number, plural, split_in
from pipelines.data.importing.listing import LeftOut, Listing
from pipelines.data.sources import printable
from registry.errors import InputError
from registry.files import read_bytes

CLASSES, BOXES = "_classes.csv", "_annotations.csv"
_BOX = ("xmin", "ymin", "xmax", "ymax")


def table_files(listing: Listing, name: str) -> list[Path]:
    """The tables of that name."""
    return [path for path in listing.ending(".csv") if path.name == name]


def read_classes(listing: Listing, subject: object) -> Layout:
    """A column for each class, with a 1 in the one that a picture shows; one with several or none is left out."""
    layout = Layout("roboflow classes.csv", "classify", [])
    for path in table_files(listing, CLASSES):
        layout.used.add(path)
        for name, row in _rows(listing, path):
            picture = _picture(listing, path, name, layout)
            labels = [label for label, value in row.items() if value.strip() == "1"]
            if picture and len(labels) == 1:
                layout.entries.append(Entry(picture, labels[0], split_in(path.parent)))
            elif picture:
                layout.left_out.append(
                    LeftOut(
                        printable(picture),
                        f"{printable(path)} gives it {plural(len(labels), 'class')}; it can have one",
                    )
                )
    layout.labels = sorted({entry.label for entry in layout.entries})
    if not layout.labels:
        raise InputError(subject, f"its {CLASSES} gives no picture a class", "export the data set again")
    return layout


def read_boxes(listing: Listing, subject: object) -> Layout:
    """A row for each box: `filename,width,height,class,xmin,ymin,xmax,ymax`."""
    layout = Layout("roboflow annotations.csv", "detect", [], unnamed="no row of the table names it")
    for path in table_files(listing, BOXES):
        layout.used.add(path)
        rows: dict[str, list[dict[str, str]]] = defaultdict(list)
        for name, row in _rows(listing, path):
            rows[name].append(row)
        for name, boxes in rows.items():
            if picture := _picture(listing, path, name, layout):
                try:
                    layout.entries.append(_entry(picture, path, boxes))
                except UnreadableError as error:
                    layout.left_out.append(LeftOut(printable(picture), f"{printable(path)}: {error}"))
    layout.labels = sorted({box.label for entry in layout.entries for box in entry.boxes or ()})
    if not layout.labels:
        raise InputError(subject, f"its {BOXES} has no box", "export the data set again")
    return layout


def _entry(picture: Path, path: Path, rows: list[dict[str, str]]) -> Entry:
    boxes = list[RawBox]()
    for row in rows:
        numbers = [number(row.get(side)) for side in _BOX]
        if not row.get("class"):
            raise UnreadableError("a box has no class")
        boxes.append(RawBox(row["class"], *numbers, source=tuple(numbers)))
    width, height = number(rows[0].get("width")), number(rows[0].get("height"))
    size = (width, height) if width > 0 and height > 0 else None
    return Entry(picture, split=split_in(path.parent), boxes=tuple(boxes), size=size, declared=True)


def _rows(listing: Listing, path: Path) -> list[tuple[str, dict[str, str]]]:
    """Each row's file name, and its other columns. Raises InputError for what is no table."""
    try:
        text = read_bytes(listing.root / path).decode("utf-8-sig", "replace").replace("\0", "")
        rows = [
            {(key or "").strip(): value for key, value in row.items() if isinstance(value, str)}
            for row in csv.DictReader(text.splitlines())
        ]
    except (OSError, ValueError, csv.Error) as error:
        raise InputError(printable(path), f"is not a table ({error})", "export the data set again") from error
    return [(row.pop("filename", ""), row) for row in rows]


def _picture(listing: Listing, path: Path, name: str, layout: Layout) -> Path | None:
    picture = listing.find(name, path.parent)
    if picture is None:
        layout.left_out.append(
            LeftOut(f"{printable(path)}: {name[:200]}", "is named there, but no such picture is in the folder")
        )
    return picture
