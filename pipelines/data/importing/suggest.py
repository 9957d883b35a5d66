"""What a job file can be told of a folder: which data lies in it, and what its files' names show."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from pipelines.data.importing.layout import plural
from pipelines.data.importing.look import Understood, look
from pipelines.data.importing.open import model_name
from pipelines.data.sources import check_name, printable
from pipelines.job.template import JobChoices
from registry.errors import InputError

_USUAL = ("clips", "videos", "images", "photos", "pictures", "data", "dataset")
_MOST_FILES = 200_000
"""A home folder holds more; what lies there is not one data set."""
_PATTERNS = (
    r"^([^_]+)_",
    r"^([^-]+)-",
    r"^([A-Za-z]+\d+)[^\d]",
    r"^(.+)_\d+\.\w+$",
    r"^(.+)-\d+\.\w+$",
    r"^(.+) \(\d+\)\.\w+$",
)
_GROUPS, _SHARE = 3, 0.5
"""A pattern is worth a word if it makes so many groups at least, and none of them holds more than this share of the images."""


def suggest(folder: Path) -> JobChoices | None:
    """The job for what lies in a folder, or in one folder of it; None where there is no data that is recognised."""
    check_name(folder)
    here = _understood(folder)
    if here and here.layout.format not in {"class folders", "clips"}:
        return _choices(folder, *_narrowed(folder, here))
    for name in _USUAL:
        if (folder / name).is_dir() and (inner := _understood(folder / name)) and _is_whole(inner):
            return _choices(folder, folder / name, inner)
    if here and _is_whole(here) and _is_mostly_data(here):
        return _choices(folder, folder, here)
    others = [(path, inner) for path in _folders(folder) if (inner := _understood(path)) and _is_whole(inner)]
    return _choices(folder, *others[0]) if len(others) == 1 else None


def _narrowed(folder: Path, here: Understood) -> tuple[Path, Understood]:
    """The one folder within that everything lies in, where that is so."""
    if here.listing.root != folder:
        return here.listing.root, here
    first = {path.parts[0] for path in (*(entry.file for entry in here.layout.entries), *here.layout.used)}
    name = next(iter(first))
    inner = _understood(folder / name) if len(first) == 1 else None
    return (inner.listing.root, inner) if inner and inner.layout.format == here.layout.format else (folder, here)


def _folders(folder: Path) -> list[Path]:
    try:
        return sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
    except OSError:
        return []


def _understood(folder: Path) -> Understood | None:
    try:
        return look(folder, folder, _MOST_FILES)
    except (InputError, OSError):
        return None


def _is_whole(understood: Understood) -> bool:
    """Whether it is enough for a job: a classifier needs two classes."""
    return understood.layout.task == "detect" or len(understood.layout.labels) > 1


def _is_mostly_data(understood: Understood) -> bool:
    """Whether a folder is a data set, and not a project with some pictures in it."""
    listing = understood.listing
    media = listing.clips if understood.clips else listing.pictures
    depth = 3 if understood.clips and understood.clips.split_at is not None else 2  # a split's, a class's folder, and a file
    flat = [path for path in media if len(path.parts) == depth]
    return len(flat) * 2 > len(listing.files)


def _choices(folder: Path, source: Path, understood: Understood) -> JobChoices:
    layout, count = understood.layout, len(understood.listing.clips if understood.clips else understood.layout.entries)
    kind = "clip" if understood.clips else "image"
    group, note, sure = ("", "", False) if understood.clips else _group(understood)
    notes = [f"left out: {plural(len(layout.left_out), 'file')}; `modelyard frames` lists them"] if layout.left_out else []
    splits = [split for split, _ in understood.clips.files] if understood.clips else [entry.split for entry in layout.entries]
    own_split = layout.format != "class folders" and any(splits)
    if own_split:
        notes.append("its own split is kept; `modelyard import --resplit` deals again")
    return JobChoices(
        model=model_name(folder if source == folder or folder.resolve().name else source),
        task=layout.task,
        source="clips" if understood.clips else "images",
        folder=printable(source),
        layout=f"{layout.format}: {plural(count, kind)} of {plural(len(layout.labels), 'class')}",
        notes=tuple(notes),
        group=group,
        group_note=note,
        sure=sure,
        own_split=own_split,
    )


def _group(understood: Understood) -> tuple[str, str, bool]:
    """A pattern that names show, what speaks for it, and whether it is sure: a person or a room is there in several classes."""
    entries = [(printable(Path(entry.file.name)), _classes(entry.label, entry.boxes)) for entry in understood.layout.entries]
    for pattern in _PATTERNS:
        groups: dict[str, list[frozenset[str]]] = defaultdict(list)
        for name, labels in entries:
            if match := re.search(pattern, name):
                groups[match[1]].append(labels)
        if sum(map(len, groups.values())) < len(entries) or not _are_groups(list(groups.values()), len(entries)):
            continue
        across = sum(len(frozenset[str]().union(*labels)) > 1 for labels in groups.values())
        sure = understood.layout.task == "classify" and across * 2 > len(groups)
        why = f"{plural(len(groups), 'group')} of {len(entries) / len(groups):.1f} images; all {len(entries)} names match"
        reach = f"{across} groups have images of several classes" if across else "each group is of one class only"
        return pattern, f"which images belong together: {why}, {reach} ({'likely' if sure else 'possible: look at it'})", sure
    return "", "", False


def _classes(label: str, boxes: Sequence[object] | None) -> frozenset[str]:
    return frozenset({label}) if boxes is None else frozenset(str(getattr(box, "label", "")) for box in boxes)


def _are_groups(groups: Sequence[Sequence[frozenset[str]]], count: int) -> bool:
    """Whether it tells some images apart and puts others together, and is not the class's own name."""
    if len(groups) < _GROUPS or len(groups) * 2 > count or max(map(len, groups)) > _SHARE * count:
        return False
    classes = {labels for group in groups for labels in group}
    return not (len(groups) == len(classes) and all(len(set(group)) == 1 for group in groups))
