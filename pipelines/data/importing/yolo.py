"""YOLO's layout: `data.yaml` (or `classes.txt`), pictures, and a text file of boxes for each.

`supervision` reads one folder of images and one of labels, and its boxes agree with ours on sound files (a test compares).
It is not used: it knows neither `train:`/`val:` nor `path:` nor lists of files, turns the class names `yes` and `no` into
True and False, drops the numbers as they are written, and refuses a whole folder for one bad line.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml

from pipelines.data.dataset import SPLITS, SplitName
from pipelines.data.importing.layout import Entry, Layout, RawBox, UnreadableError, around, number, plural
from pipelines.data.importing.listing import LeftOut, Listing
from pipelines.data.sources import printable
from registry.errors import InputError, ModelyardError
from registry.files import read_bytes

_MOST_TEXT, _MOST_CLASSES = 4_000_000, 100_000
_BOX, _WITH_CONFIDENCE, _OUTLINE, _NEAR = 5, 6, 6, 3
_REMEDY = "export the data set again"


def yolo_files(listing: Listing) -> list[Path]:
    """The files that say what a YOLO data set's classes are, the nearest to the root first."""
    named = [path for path in listing.ending(".yaml", ".yml") if len(path.parts) <= _NEAR and _names(_document(listing, path))]
    if named:
        return named
    return [
        path for path in listing.ending(".txt") if path.name == "classes.txt" and (path.parent / "labels") in listing.folders
    ]


def has_labels(listing: Listing) -> bool:
    """Whether a text file lies where a picture's boxes would."""
    texts = set(listing.ending(".txt"))
    return any(texts & set(_label_files(path)) for path in listing.pictures)


def read_yolo(listing: Listing, head: Path, subject: object) -> Layout:
    """Pictures with the boxes of their text files; one without a text file shows nothing. Raises InputError."""
    document = _document(listing, head)
    labels = _names(document) or _lines(listing, head)
    if not labels or len(set(labels)) < len(labels):
        why = "names no classes" if not labels else "names a class twice"
        raise InputError(f"{subject}: {printable(head)}", why, "fix its names")
    layout = Layout("yolo", "detect", labels, used={head}, unnamed=f"{printable(head)} names no folder or list that it is in")
    texts, counts = set(listing.ending(".txt")), Counter[str]()
    joints = isinstance(document.get("kpt_shape"), list)
    for path, split in _pictures(listing, head, document, layout, subject).items():
        label_file = next((candidate for candidate in _label_files(path) if candidate in texts), None)
        counts["without"] += label_file is None
        try:
            boxes = tuple(_boxes(listing, label_file, labels, counts, joints=joints)) if label_file else ()
        except (UnreadableError, ModelyardError) as error:
            layout.left_out.append(LeftOut(printable(path), str(error)))
            continue
        finally:
            layout.used |= {label_file} if label_file else set()
        layout.entries.append(Entry(path, split=split, boxes=boxes, size=(1, 1)))
    if counts["without"]:
        layout.notes.append(f"{plural(counts['without'], 'image')} without a label file: nothing to detect in them")
    if counts["outlines"]:
        layout.notes.append(f"{plural(counts['outlines'], 'outline')} read as the box around it")
    return layout


def _document(listing: Listing, path: Path) -> dict[str, Any]:
    """A YAML file in which every scalar is text, so that a class may be called `no` or `01`; empty for what is no such file."""
    if path.suffix.lower() == ".txt":
        return {}
    try:
        content = read_bytes(listing.root / path)
        document = yaml.load(content.decode("utf-8-sig"), yaml.BaseLoader) if len(content) <= _MOST_TEXT else None  # noqa: S506 it makes only text, lists and mappings
    except (InputError, OSError, ValueError, yaml.YAMLError, RecursionError):
        return {}
    return document if isinstance(document, dict) else {}


def _names(document: dict[str, Any]) -> list[str]:
    """The classes by index; a mapping's keys are indices, which may leave gaps."""
    match document.get("names"):
        case list() as names if all(isinstance(name, str) for name in names):
            return list(names)
        case dict() as names if all(str(key).isdecimal() and isinstance(name, str) for key, name in names.items()):
            by_index = {int(key): str(name) for key, name in names.items()}
            if max(by_index, default=0) < _MOST_CLASSES:
                return [by_index.get(index, f"class {index}") for index in range(max(by_index, default=-1) + 1)]
    return []


def _pictures(
    listing: Listing, head: Path, document: dict[str, Any], layout: Layout, subject: object
) -> dict[Path, SplitName | None]:
    """Picture → split, as `train`, `val` and `test` name folders, files or lists. Of one in two splits the first counts."""
    pictures, twice = dict[Path, SplitName | None](), 0
    for split in SPLITS:
        named = document.get(split) or (document.get("valid") if split == "val" else None)
        for value in named if isinstance(named, list) else [named] if named else []:
            paths = _named(listing, head, document, str(value), layout)
            if paths is None:
                raise InputError(
                    f"{subject}: {printable(head)}", f"{split}: '{value}' is not there", "fix the path, or remove the line"
                )
            twice += sum(path in pictures and pictures[path] != split for path in paths)
            pictures |= {path: split for path in paths if path not in pictures}
    if twice:
        layout.notes.append(f"{plural(twice, 'image')} in two splits of {printable(head)}: the first counts")
    return pictures or dict.fromkeys(listing.pictures)


def _named(listing: Listing, head: Path, document: dict[str, Any], value: str, layout: Layout) -> list[Path] | None:
    """The pictures that a path of `data.yaml` means; None where nothing in the folder is meant.

    It is relative to `path:`, or to the file itself. Some exports say `../train/images` of a folder that lies beside the
    file, and `path:` is often absolute on another machine: what remains without these is tried too.
    """
    below = str(document.get("path") or "")
    clean = value.replace("\\", "/").removeprefix("./")
    for start in (head.parent / below, head.parent, head.parent / Path(below).name):
        for relative in (clean, clean.lstrip("./")):
            path = Path(os.path.normpath(start / relative))
            if path.is_absolute() or ".." in path.parts:
                continue
            if path in listing.files and path.suffix.lower() == ".txt":
                layout.used.add(path)
                return _listed(listing, path)
            if paths := listing.below(path):
                return paths
            if path in listing.folders:
                return []
    return None


def _listed(listing: Listing, path: Path) -> list[Path]:
    """The pictures that a list of files names."""
    lines = _lines(listing, path)
    known = set(listing.pictures)
    exact = {line: Path(os.path.normpath(path.parent / line)) for line in lines}
    paths = [exact[line] if exact[line] in known else listing.find(line, path.parent) for line in lines]
    return [path for path in paths if path is not None]


def _lines(listing: Listing, path: Path) -> list[str]:
    """A text file's lines that hold something."""
    try:
        text = read_bytes(listing.root / path).decode("utf-8-sig", "replace")
    except (OSError, ValueError) as error:
        raise InputError(printable(path), f"cannot be read ({error})", _REMEDY) from error
    return [line.strip() for line in text.splitlines() if line.strip()]


def _label_files(picture: Path) -> Sequence[Path]:
    """Where a picture's boxes may be: `labels` in the place of `images`, beside it, or in `labels` beside its folder."""
    parts, name = list(picture.parent.parts), f"{picture.stem}.txt"
    swapped = list[Path]()
    for index in range(len(parts) - 1, -1, -1):
        if parts[index].lower() == "images":
            swapped.append(Path(*parts[:index], "labels", *parts[index + 1 :], name))
            break
    return [*swapped, picture.parent / name, picture.parent / "labels" / name, picture.parent.parent / "labels" / name]


def _boxes(listing: Listing, path: Path, labels: Sequence[str], counts: Counter[str], *, joints: bool) -> Iterator[RawBox]:
    """The boxes of a text file: `class x y width height`, with a confidence or key points behind it, or an outline."""
    for at, line in enumerate(_lines(listing, path), 1):
        try:
            words = line.split()
            index, numbers = number(words[0]), [number(word) for word in words[1:]]
            if not 0 <= index < len(labels) or index != int(index):
                raise UnreadableError(f"class {words[0]} is none of {len(labels)}")  # noqa: TRY301 the line is added below
            label = labels[int(index)]
            if len(words) in {_BOX, _WITH_CONFIDENCE} or (joints and len(words) > _BOX):
                x, y, width, height = numbers[:4]
                yield RawBox(label, x - width / 2, y - height / 2, x + width / 2, y + height / 2, tuple(numbers[:4]))
                continue
            points = numbers[: len(numbers) // 2 * 2]
            if len(points) < _OUTLINE:
                raise UnreadableError(f"{len(words)} numbers are no box and no outline")  # noqa: TRY301
            counts["outlines"] += 1
            yield around(label, points[::2], points[1::2], points)
        except UnreadableError as error:
            raise UnreadableError(f"{printable(path)} line {at}: {error}") from error
