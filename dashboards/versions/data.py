"""Versions of a data set on this machine, without Streamlit: what each added, took away, moved and named otherwise."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import pandas as pd

from dashboards.datasets import LocalDataset, labels_of

_MOST_VERSIONS = 50


class Change(NamedTuple):
    """How many images of a version are not as in the version before."""

    added: int
    removed: int
    moved: int
    relabelled: int

    def __str__(self) -> str:
        parts = zip(("added", "removed", "in another split", "relabelled"), self, strict=True)
        return ", ".join(f"{count:,} {name}" for name, count in parts if count) or "the same images"


def versions_of(dataset: LocalDataset, find: Callable[[str], LocalDataset | None]) -> Iterator[LocalDataset]:
    """The data set and the versions before it that are on this machine, the newest first."""
    seen = set[str]()
    current: LocalDataset | None = dataset
    while current and current.digest not in seen and len(seen) < _MOST_VERSIONS:
        seen.add(current.digest)
        yield current
        current = find(current.parent) if current.parent else None


def version_table(dataset: LocalDataset, find: Callable[[str], LocalDataset | None]) -> pd.DataFrame:
    """One row a version on this machine, the newest first, with what changed since the one before it."""
    known = list(versions_of(dataset, find))
    rows = [
        (
            version.version,
            version.digest[:12],
            len(version.frames),
            len({str(frame.get("clip", "")) for frame in version.frames}),
            len(version.labels),
            str(change(known[at + 1], version)) if at + 1 < len(known) else _first(version),
        )
        for at, version in enumerate(known)
    ]
    return pd.DataFrame(rows, columns=["version", "digest", "images", "clips", "classes", "change"])


def _first(version: LocalDataset) -> str:
    return f"the version before, {version.parent[:12]}, is not on this machine" if version.parent else "the first version"


def change(before: LocalDataset, after: LocalDataset) -> Change:
    """What is other in a later version. An image is the same if its bytes are; copies count, each for itself."""
    old, new = _images(before), _images(after)
    both = old.keys() & new.keys()
    return Change(
        sum(len(frames) - len(old.get(image, ())) for image, frames in new.items() if len(frames) > len(old.get(image, ()))),
        sum(len(frames) - len(new.get(image, ())) for image, frames in old.items() if len(frames) > len(new.get(image, ()))),
        sum(_other([split for split, _ in old[image]], [split for split, _ in new[image]]) for image in both),
        sum(_other([labels for _, labels in old[image]], [labels for _, labels in new[image]]) for image in both),
    )


def _other(old: Sequence[str], new: Sequence[str]) -> int:
    """How many of the copies that are in both versions are not as they were."""
    return min(len(old), len(new)) - (Counter(old) & Counter(new)).total()


def _images(dataset: LocalDataset) -> dict[str, list[tuple[str, str]]]:
    """Digest of an image's bytes → the split and the classes of each copy. A manifest that lacks one has an empty one."""
    images = dict[str, list[tuple[str, str]]]()
    for frame in dataset.frames:
        images.setdefault(str(frame.get("sha256", "")), []).append((str(frame.get("split", "")), ", ".join(labels_of(frame))))
    return images
