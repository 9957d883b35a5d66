"""Looking at a folder as it lies: which of the known layouts it is, and a reason for every file that is not read."""

from __future__ import annotations

import json
import os
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pipelines.data.importing import coco, folders, label_studio, tables, taught, voc, yolo
from pipelines.data.importing.layout import Entry, Layout, plural, split_name
from pipelines.data.importing.listing import LeftOut, Listing, list_folder, plain
from pipelines.data.sources import printable
from registry.errors import InputError

KNOWN = (
    "class folders, train/val/test with class folders, YOLO, COCO, Pascal VOC, Label Studio, Roboflow's CSV, "
    "what a page was taught"
)
_MOST_JSON, _LARGEST_JSON = 200, 1_000_000_000
"""COCO's own training annotations are half of the latter."""
_LONGEST_NAME, _WRAPPED = 255, 3
_CONVERT = {".gif", ".tif", ".tiff", ".heic", ".heif", ".avif", ".jfif", ".jp2", ".svg", ".dng", ".ppm", ".jxl"}
_ARCHIVES = {".zip", ".tar", ".gz", ".tgz", ".7z", ".rar"}


@dataclass(frozen=True, slots=True)
class Understood:
    """A folder, listed and recognised: as pictures with a layout, or as clips by class."""

    listing: Listing
    layout: Layout
    clips: folders.Sorted | None = None


def look(root: Path, subject: object, most: int | None = None) -> Understood:
    """Recognise a folder; `subject` is what errors call it. Raises InputError where it is no known layout, or two at once."""
    listing = list_unwrapped(root, most)
    readers = _readers(listing, subject)
    if len(readers) > 1:
        raise InputError(subject, f"is several layouts at once: {', '.join(readers)}", "import one folder of it")
    if readers:
        layout = next(iter(readers.values()))()
        return Understood(listing, _accounted(listing, layout))
    if not listing.pictures and not listing.clips:
        raise InputError(subject, f"holds no images and no clips ({_seen(listing)})", f"known layouts: {KNOWN}")
    if len(listing.clips) > len(listing.pictures):
        return _clips(listing, subject)
    if not any(len(path.parts) > 1 for path in listing.pictures):
        why = f"holds {plural(len(listing.pictures), 'image')} and neither class folders nor annotations"
        raise InputError(subject, why, f"known layouts: {KNOWN}")
    return Understood(listing, _accounted(listing, folders.read_folders(listing, subject)))


def _readers(listing: Listing, subject: object) -> dict[str, Callable[[], Layout]]:
    """The layouts that the annotation files in a folder are of."""
    readers = dict[str, Callable[[], Layout]]()
    if listing.pictures and (heads := yolo.yolo_files(listing)) and yolo.has_labels(listing):
        if len(heads) > 1 and len(heads[0].parts) == len(heads[1].parts):
            raise InputError(
                subject, f"has several YOLO data sets: {', '.join(map(printable, heads[:5]))}", "import one folder of it"
            )
        readers["YOLO"] = lambda: yolo.read_yolo(listing, heads[0], subject)
    if Path(taught.DOCUMENT) in listing.files:
        return {"taught in the page": lambda: taught.read_taught(listing, subject)}
    documents = _documents(listing)
    if lists := {path: document for path, document in documents.items() if coco.is_coco(document)}:
        readers["COCO"] = lambda: coco.read_coco(listing, lists, subject)
    if tasks := {path: document for path, document in documents.items() if label_studio.is_label_studio(document)}:
        readers["Label Studio"] = lambda: label_studio.read_label_studio(listing, tasks, subject)
    if voc.has_annotations(listing):
        readers["Pascal VOC"] = lambda: voc.read_voc(listing, subject)
    if tables.table_files(listing, tables.CLASSES):
        readers["Roboflow classes"] = lambda: tables.read_classes(listing, subject)
    if tables.table_files(listing, tables.BOXES):
        readers["Roboflow boxes"] = lambda: tables.read_boxes(listing, subject)
    return readers


def _documents(listing: Listing) -> dict[Path, Any]:
    """The JSON files nearest to the root, those that can be read."""
    documents = dict[Path, Any]()
    for path in listing.ending(".json")[:_MOST_JSON]:
        try:
            if (listing.root / path).stat().st_size <= _LARGEST_JSON:
                documents[path] = json.loads((listing.root / path).read_bytes())
        except (OSError, ValueError, RecursionError):
            continue
    return documents


def list_unwrapped(root: Path, most: int | None = None) -> Listing:
    """What lies in a folder; in the folder within, where archives put everything into one folder of the data set's name."""
    listing = list_folder(root, most)
    while True:
        first = {path.parts[0] for path in listing.files}
        name = next(iter(first), "")
        if len(first) != 1 or split_name(name) or any(len(path.parts) < _WRAPPED for path in listing.pictures or listing.clips):
            return listing
        inner = list_folder(listing.root / name)
        if not inner.files:
            return listing
        listing = Listing(inner.root, inner.files, inner.folders, [*listing.left_out, *inner.left_out], listing.ignored)


def _clips(listing: Listing, subject: object) -> Understood:
    """Clips by class; other files are left out."""
    by_class = folders.sort_files(listing.clips, listing.folders, subject, "clips")
    if not by_class.files:
        why = f"holds {plural(len(listing.clips), 'clip')} and no class folders"
        raise InputError(subject, why, "sort them into <class>/, a folder for each thing to tell apart")
    layout = Layout("clips", "classify", by_class.labels, unnamed="an image among clips")
    layout.used = {path for paths in by_class.files.values() for path in paths}
    layout.left_out += [LeftOut(printable(path), "lies outside of a class's folder") for path in by_class.outside]
    folders.check_classes(by_class, listing.folders, subject, "clips")
    return Understood(listing, _accounted(listing, layout), by_class)


def _accounted(listing: Listing, layout: Layout) -> Layout:
    """The layout with a reason for every file that nothing was read from; a picture that is named twice counts once."""
    entries = {entry.file: entry for entry in reversed(layout.entries)}
    layout.entries = [entry for entry in layout.entries if entries[entry.file] is entry]
    read = {printable(path) for path in (*entries, *layout.used)}
    reasons = {item.file: item for item in (*listing.left_out, *layout.left_out) if item.file not in read}
    for path in listing.files:
        name = printable(path)
        if name not in read and name not in reasons:
            reasons[name] = LeftOut(name, _reason(path, layout, listing))
    layout.left_out = sorted(
        (LeftOut(plain(item.file), plain(item.why)) for item in reasons.values()), key=lambda item: item.file
    )
    layout.notes = [plain(note) for note in layout.notes]
    return _with_sound_names(layout)


def _with_sound_names(layout: Layout) -> Layout:
    """The layout with classes that manifests and reports can hold, and a classifier's that folders can be called.

    Raises InputError for one that cannot.
    """
    for label in layout.labels:
        if not label.strip() and layout.task == "detect":
            raise InputError("a class", "has no name", "give it one in the annotations")
        if any(unicodedata.category(character) in {"Cc", "Zl", "Zp"} for character in label):
            printed = label.encode("unicode_escape").decode()
            raise InputError(f"class '{printed}'", "its name has a line break or a control character", "rename it")
        if layout.task == "classify" and (
            label in {"", ".", ".."} or "/" in label or len(os.fsencode(plain(label))) > _LONGEST_NAME
        ):
            raise InputError(f"class '{plain(label)}'", "its name cannot be a folder's", "rename it in the annotations")
    if any(plain(label) != label for label in layout.labels):
        layout.labels = [plain(label) for label in layout.labels]
        layout.entries = [_renamed(entry) for entry in layout.entries]
    return layout


def _renamed(entry: Entry) -> Entry:
    boxes = None if entry.boxes is None else tuple(replace(box, label=plain(box.label)) for box in entry.boxes)
    return replace(entry, label=plain(entry.label), boxes=boxes)


def _reason(path: Path, layout: Layout, listing: Listing) -> str:
    """Why a file was not read."""
    ending = path.suffix.lower()
    if path in listing.pictures:
        return layout.unnamed
    if path in listing.clips:
        return "a clip: clips are read by themselves, in class folders" if layout.format != "clips" else layout.unnamed
    if ending in _CONVERT:
        return f"{ending} is not read: convert it to JPEG, PNG, WebP or BMP"
    if ending in _ARCHIVES:
        return "an archive within: unpack it"
    if layout.format == "yolo" and ending == ".txt":
        return "a text file of no picture that is read"
    return "is no picture"


def _seen(listing: Listing) -> str:
    """What kinds of files are there."""
    endings: dict[str, int] = {}
    for path in listing.files:
        endings[path.suffix.lower() or "no ending"] = endings.get(path.suffix.lower() or "no ending", 0) + 1
    return (
        ", ".join(
            f"{count} {printable(Path(ending))}" for ending, count in sorted(endings.items(), key=lambda pair: -pair[1])[:5]
        )
        or "empty"
    )
