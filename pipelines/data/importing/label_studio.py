"""Label Studio's exports: JSON with all annotations, and JSON-MIN. `supervision` does not know them.

Choices become classes, rectangles boxes; a turned rectangle, an outline or an ellipse becomes the box around it. Predictions
are proposals that nobody accepted, and are not read.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from pipelines.data.importing.layout import Entry, Layout, RawBox, UnreadableError, around, number, split_in
from pipelines.data.importing.listing import LeftOut, Listing
from pipelines.data.sources import IMAGE_ENDINGS, printable
from registry.errors import InputError

_UPLOADED = re.compile(r"^[0-9a-f]{8}-(?=.)")
_PERCENT = 100.0
_OF_TASK = {"annotations", "completions"}
_OF_MIN = {"annotator", "annotation_id", "lead_time", "completed_by"}


def is_label_studio(document: object) -> bool:
    """Whether a JSON document is a list of tasks, or of what JSON-MIN makes of them."""
    return isinstance(document, list) and any(
        isinstance(item, dict) and ((_OF_TASK & set(item) and "data" in item) or _OF_MIN & set(item)) for item in document[:50]
    )


def read_label_studio(listing: Listing, documents: Mapping[Path, Any], subject: object) -> Layout:
    """Pictures with the choice or the boxes of their tasks. Raises InputError where no task has either."""
    tasks = [(path, task) for path, document in documents.items() for task in document if isinstance(task, dict)]
    results = [(path, task, list(_results(task))) for path, task in tasks]
    detects = any(_shape(item) for *_, items in results for item in items)
    layout = Layout("label-studio", "detect" if detects else "classify", [], used=set(documents), unnamed="no task names it")
    counts, seen = Counter[str](), set[Path]()
    for path, task, items in results:
        name = _image_of(task)
        picture = _picture(listing, name, path)
        if picture is None:
            layout.left_out.append(
                LeftOut(f"{printable(path)}: {name[:200]}", "is named there, but no such picture is in the folder")
            )
        elif picture in seen:
            counts["twice"] += 1
        else:
            seen.add(picture)
            try:
                layout.entries.append(_entry(picture, task, items, counts, detects=detects))
            except UnreadableError as error:
                layout.left_out.append(LeftOut(printable(picture), f"{printable(path)}: {error}"))
    layout.labels = sorted({label for entry in layout.entries for label in _labels(entry)})
    if not layout.labels:
        raise InputError(subject, "its Label Studio tasks have no choice and no rectangle", "label some, and export again")
    layout.notes += [f"{counts[name]:,} {sentence}" for name, sentence in _SENTENCES.items() if counts[name]]
    return layout


_SENTENCES = {
    "twice": "tasks for a picture that another task names: the first counts",
    "several": "tasks with several annotations: the first that was not cancelled counts",
    "turned": "turned rectangles read as the box around them",
    "outline": "outlines and ellipses read as the box around them",
    "other": "marks that are no box and no choice left out",
}


def _labels(entry: Entry) -> set[str]:
    return {entry.label} if entry.boxes is None else {box.label for box in entry.boxes}


def _annotation(task: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """A task's first annotation that was not cancelled, None where there is none."""
    annotations = task.get("annotations", task.get("completions"))
    whole = [item for item in annotations if isinstance(item, dict)] if isinstance(annotations, list) else []
    return next((item for item in whole if not item.get("was_cancelled")), None)


def _results(task: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """What was marked in a task, each as {its kind, value, original_width, …}, whichever of the two exports it is of."""
    if _OF_TASK & set(task):
        annotation = _annotation(task)
        items = annotation.get("result") if annotation else None
        yield from (item for item in items if isinstance(item, dict)) if isinstance(items, list) else ()
        return
    for key, value in task.items():
        if key in _OF_MIN | {"id", "created_at", "updated_at", "image"}:
            continue
        if isinstance(value, list):
            yield from ({**item, "value": item} for item in value if isinstance(item, dict))
        elif isinstance(value, dict) and isinstance(value.get("choices"), list):
            yield {"type": "choices", "value": value}
        elif isinstance(value, str) and key in {"choice", "label", "class"}:
            yield {"type": "choices", "value": {"choices": [value]}}


def _shape(item: Mapping[str, Any]) -> str:
    """The key under which a mark has its labels, empty for one without a place in the picture."""
    value = item.get("value")
    return next((key for key in _SHAPES if isinstance(value, dict) and isinstance(value.get(key), list)), "")


_SHAPES = ("rectanglelabels", "polygonlabels", "ellipselabels")


def _entry(
    picture: Path, task: Mapping[str, Any], items: Sequence[Mapping[str, Any]], counts: Counter[str], *, detects: bool
) -> Entry:
    """A task's picture with its boxes or its choice. Raises UnreadableError where nobody has said which."""
    annotations = task.get("annotations", task.get("completions"))
    if isinstance(annotations, list) and _annotation(task) is None:
        raise UnreadableError("its task was not annotated")
    counts["several"] += isinstance(annotations, list) and len(annotations) > 1
    if detects:
        boxes = tuple(_box(item, counts) for item in items if _shape(item))
        counts["other"] += sum(not _shape(item) for item in items)
        return Entry(picture, split=split_in(picture.parent), boxes=boxes, size=(_PERCENT, _PERCENT))
    values = [item["value"] for item in items if isinstance(item.get("value"), dict)]
    choices = [str(choice) for value in values for choice in _items(value.get("choices"))]
    if len(set(choices)) != 1:
        raise UnreadableError(f"it has {len(set(choices))} choices; a class is one")
    return Entry(picture, choices[0], split_in(picture.parent))


def _items(value: object) -> list[Any]:
    """A list, empty for what is none."""
    return value if isinstance(value, list) else []


def _box(item: Mapping[str, Any], counts: Counter[str]) -> RawBox:
    """A mark's box, in percent of the picture's sides."""
    value, shape = item["value"], _shape(item)
    labels = value[shape]
    if len(labels) != 1:
        raise UnreadableError(f"a box has {len(labels)} labels; it can have one")
    label = str(labels[0])
    if shape == "polygonlabels":
        counts["outline"] += 1
        points = [[number(part) for part in point] for point in _items(value.get("points")) if isinstance(point, list)]
        flat = [part for point in points for part in point]
        return around(label, flat[::2], flat[1::2], flat)
    if shape == "ellipselabels":
        counts["outline"] += 1
        x, y, across, down = numbers = [number(value.get(key)) for key in ("x", "y", "radiusX", "radiusY")]
        return RawBox(label, x - across, y - down, x + across, y + down, tuple(numbers))
    left, top, width, height = numbers = [number(value.get(key)) for key in ("x", "y", "width", "height")]
    angle = number(value.get("rotation") or 0)
    if not angle:
        return RawBox(label, left, top, left + width, top + height, tuple(numbers))
    counts["turned"] += 1
    ratio = number(item.get("original_width", 1)) / (number(item.get("original_height", 1)) or 1) or 1
    xs, ys = _turned(width, height / ratio, math.radians(angle))
    return around(label, [left + x for x in xs], [top + y * ratio for y in ys], (*numbers, angle))


def _turned(width: float, height: float, angle: float) -> tuple[list[float], list[float]]:
    """The corners of a rectangle turned clockwise about its upper left one, in units of one length."""
    cosine, sine = math.cos(angle), math.sin(angle)
    corners = [(0.0, 0.0), (width, 0.0), (0.0, height), (width, height)]
    return [x * cosine - y * sine for x, y in corners], [x * sine + y * cosine for x, y in corners]


def _image_of(task: Mapping[str, Any]) -> str:
    """The address of a task's picture: the first of its texts that ends as a picture's does."""
    data = task["data"] if isinstance(task.get("data"), dict) else task
    texts = [value for value in data.values() if isinstance(value, str)]
    return next((text for text in texts if Path(_path_of(text)).suffix.lower() in IMAGE_ENDINGS), texts[0] if texts else "")


def _path_of(address: str) -> str:
    """The path in an address: of uploads, of local files (`?d=`), and of buckets."""
    try:
        parts = urlsplit(address)
        local = parse_qs(parts.query).get("d")
    except ValueError:
        return address
    return local[0] if local else unquote(parts.path) or address


def _picture(listing: Listing, name: str, path: Path) -> Path | None:
    """The picture; an upload's name has eight hexadecimal digits before the name that it had."""
    inside = _path_of(name)
    bare = str(Path(inside).with_name(_UPLOADED.sub("", Path(inside).name))) if Path(inside).name else ""
    return listing.find(inside, path.parent) or (listing.find(bare, path.parent) if bare else None)
