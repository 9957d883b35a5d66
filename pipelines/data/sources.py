"""What a user points us at: a folder with one folder of clips, or of images, per class."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Sequence
from pathlib import Path

from registry.errors import InputError, NotFoundError

CLIP_ENDINGS = frozenset({".mp4", ".avi", ".mov", ".mkv", ".webm", ".m4v", ".mjpeg"})
IMAGE_ENDINGS = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp"})


def check_source(clips: Path | None, images: Path | None, group: str | None) -> None:
    """Refuse options that contradict each other."""
    if clips and images:
        raise InputError("--clips and --images", "only one of them can be the source", "leave one out")
    if group and not images:
        raise InputError("--group", "says which images belong together", "give --images as well, or leave it out")


def printable(path: Path | str) -> str:
    """A path or a name as text that can be printed and stored: bytes that are no UTF-8 are written in hexadecimal."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def check_name(path: Path) -> None:
    """Raise InputError for a path that is no UTF-8: decoders of clips crash on one, and no manifest can hold it."""
    try:
        str(path).encode()
    except UnicodeEncodeError as error:
        raise InputError(
            printable(path), "its name is not UTF-8", "rename it, or unpack the archive again with its own encoding"
        ) from error


def _check_class(folder: Path) -> None:
    """A class's name stands in tables, reports and figures: one line of text."""
    check_name(folder)
    if any(unicodedata.category(character) in {"Cc", "Zl", "Zp"} for character in folder.name):
        shown = folder.name.encode("unicode_escape").decode()
        raise InputError(
            f"class '{shown}'", "its name has a line break or a control character", f"rename it in {folder.parent}"
        )


def check_number_of_classes(labels: Sequence[str], least: int, subject: object) -> None:
    """Raise InputError for one class where a classifier is to be trained. There is at least one."""
    if len(labels) < least:
        raise InputError(
            subject, f"has one class only ('{labels[0]}')", "add a second class; a classifier needs two to tell apart"
        )


def files_by_class(folder: Path, endings: frozenset[str], what: str, least: int = 2) -> dict[str, list[Path]]:
    """Class name → its files, both sorted; at least `least` classes, none of them empty.

    A file with another ending among them, or one of them outside of a class's folder, is an error: silently leaving
    out a clip would be worse than asking.
    """
    layout = f"{folder.name or 'DIR'}/<class>/*{'.mp4' if '.mp4' in endings else '.jpg'}"
    check_name(folder)
    if not folder.is_dir():
        raise NotFoundError(folder, f"there is no such folder of {what}", f"make {layout}, or name another folder")
    for stray in sorted(path for path in folder.iterdir() if path.is_file() and path.suffix.lower() in endings):
        check_name(stray)
        raise InputError(stray, "lies outside of a class's folder", f"move it to {layout}")
    by_class: dict[str, list[Path]] = {}
    for class_folder in sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith(".")):
        _check_class(class_folder)
        files = sorted(path for path in class_folder.iterdir() if path.is_file() and not path.name.startswith("."))
        for file in files:
            check_name(file)
            if file.suffix.lower() not in endings:
                known = " ".join(sorted(endings))
                raise InputError(file, f"expected {what} ({known})", "move it away or convert it")
        if not files:
            raise InputError(class_folder, f"the class has no {what}", f"add some to {layout}, or remove the folder")
        by_class[class_folder.name] = files
    if not by_class:
        raise InputError(folder, f"expected a folder per class with {what} in it", f"sort them into {layout}")
    check_number_of_classes(list(by_class), least, folder)
    return by_class
