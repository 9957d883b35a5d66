"""Class folders, and train, val and test folders with class folders in them, in either order.

`supervision` reads one folder of class folders; it takes `train` and `val` for classes and skips sub-folders in silence. So
these are read here.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pipelines.data.dataset import SPLITS, SplitName
from pipelines.data.importing.layout import Entry, Layout, plural, split_name
from pipelines.data.importing.listing import Listing
from pipelines.data.sources import printable
from registry.errors import InputError

_DEEP = 3
"""Parts of a path with a split, a class and a file."""
_MOST_NAMES = 5


@dataclass(frozen=True, slots=True)
class Sorted:
    """Files by split and class, as their folders tell; `nested`: class → files that lie deeper than its folder."""

    files: Mapping[tuple[SplitName | None, str], Sequence[Path]]
    outside: Sequence[Path]
    nested: Mapping[str, int]
    split_at: int | None = None
    label_at: int = 0
    """At which part of a path its split and its class stand."""

    @property
    def labels(self) -> list[str]:
        """All classes."""
        return sorted({label for _, label in self.files})


def sort_files(files: Sequence[Path], folders: Sequence[Path], subject: object, what: str = "images") -> Sorted:
    """Which class and split each file is of; `folders` are all that are there, the empty ones too. `what` they hold."""
    first = {path.parts[0] for path in (*files, *folders) if path.parts} - {
        path.parts[0] for path in files if len(path.parts) == 1
    }
    splits = {name for name in first if split_name(name)}
    deep = {path.parts[0] for path in files if len(path.parts) >= _DEEP and path.parts[0] in splits}
    others = {path.parts[0] for path in files if len(path.parts) > 1} - splits
    if deep and others:
        raise InputError(
            subject,
            f"has the splits {_listed(deep)} and beside them {_listed(others)}",
            "move what is no split out of the folder",
        )
    if deep:
        return _sorted(files, split_at=0, label_at=1)
    if splits and not others and files:
        raise InputError(
            subject, f"has {what} in {_listed(splits)}, but no folder per class there", "sort them into <split>/<class>/"
        )
    if _class_first(files):
        return _sorted(files, split_at=1, label_at=0)
    return _sorted(files, split_at=None, label_at=0)


def read_folders(listing: Listing, subject: object) -> Layout:
    """Pictures in class folders, with their splits where those are folders too. Raises InputError for an empty class."""
    files = sort_files(listing.pictures, listing.folders, subject)
    names = {label: printable(Path(label)) for label in files.labels}
    layout = Layout("split folders" if files.split_at is not None else "class folders", "classify", sorted(set(names.values())))
    layout.unnamed = "lies outside of a class's folder"
    for (split, label), paths in files.files.items():
        layout.entries += [Entry(path, names[label], split) for path in paths]
    layout.notes += [
        f"class '{names[label]}': {plural(count, 'image')} in sub-folders, read as this class"
        for label, count in sorted(files.nested.items())
    ]
    layout.notes += [
        f"class '{label}' is called {printable(Path(label))!r}: its folder's name is not UTF-8"
        for label in names
        if label != names[label]
    ]
    check_classes(files, listing.folders, subject)
    return layout


def check_classes(files: Sorted, folders: Sequence[Path], subject: object, what: str = "images") -> None:
    """Raise InputError for a class whose folder holds nothing that can be read, in any split."""
    full = {label for _, label in files.files}
    for folder in folders:
        label = folder.parts[files.label_at] if len(folder.parts) == files.label_at + 1 else None
        if label is not None and label not in full:
            raise InputError(
                f"class '{printable(Path(label))}'", f"has no {what} in {subject}", "add some, or remove its folder"
            )


def describe_splits(entries: Sequence[Entry], labels: Sequence[str]) -> list[str]:
    """What a split that was there lacks: sentences about what it costs, and what helps."""
    sizes = Counter(entry.split for entry in entries)
    notes = list[str]()
    for split, cost in (
        ("val", "training cannot choose its best epoch"),
        ("test", "`modelyard evaluate` has nothing to score on"),
    ):
        if not sizes[split]:
            notes.append(f"there is no {split} split, so {cost}; `--resplit` deals all images to three")
    have = defaultdict[str, set[str]](set)
    for entry in entries:
        have[entry.split or "train"] |= {entry.label} if entry.boxes is None else {box.label for box in entry.boxes}
    for split in SPLITS:
        if have[split] and (absent := [label for label in labels if label not in have[split]]):
            more = f" and {len(absent) - _MOST_NAMES} more" if len(absent) > _MOST_NAMES else ""
            notes.append(f"{split} has no images of {', '.join(repr(label) for label in absent[:_MOST_NAMES])}{more}")
    if unsaid := sizes[None]:
        notes.append(f"{plural(unsaid, 'image')} in no split: put into train")
    return notes


def _class_first(files: Sequence[Path]) -> bool:
    """Whether each class's folder has the splits in it: every file lies in one, and training and another are there."""
    inner = [path.parts[1] for path in files if len(path.parts) >= _DEEP]
    splits = {split_name(name) for name in inner}
    return len(inner) == len(files) > 0 and None not in splits and "train" in splits and len(splits) > 1


def _sorted(files: Sequence[Path], split_at: int | None, label_at: int) -> Sorted:
    by_class = defaultdict[tuple[SplitName | None, str], list[Path]](list)
    outside_files, nested = list[Path](), Counter[str]()
    depth = 2 if split_at is None else 3
    for path in files:
        if len(path.parts) < depth:
            outside_files.append(path)
            continue
        label = path.parts[label_at]
        by_class[None if split_at is None else split_name(path.parts[split_at]), label].append(path)
        nested[label] += len(path.parts) > depth
    return Sorted(by_class, outside_files, +nested, split_at, label_at)


def _listed(names: set[str]) -> str:
    return ", ".join(f"'{printable(Path(name))}'" for name in sorted(names)[:_MOST_NAMES])
