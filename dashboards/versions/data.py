"""Versions of a data set on this machine, without Streamlit: what each added, took away, moved and named otherwise."""

from __future__ import annotations

from collections.abc import Callable, Iterator
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
            len({str(frame["clip"]) for frame in version.frames}),
            len(version.labels),
            str(change(known[at + 1], version)) if at + 1 < len(known) else _first(version),
        )
        for at, version in enumerate(known)
    ]
    return pd.DataFrame(rows, columns=["version", "digest", "images", "clips", "classes", "change"])


def _first(version: LocalDataset) -> str:
    return f"the version before, {version.parent[:12]}, is not on this machine" if version.parent else "the first version"


def change(before: LocalDataset, after: LocalDataset) -> Change:
    """What is other in a later version. An image is the same if its bytes are."""
    old, new = _images(before), _images(after)
    both = old.keys() & new.keys()
    moved = sum(old[image][0] != new[image][0] for image in both)
    relabelled = sum(old[image][1] != new[image][1] for image in both)
    return Change(len(new.keys() - old.keys()), len(old.keys() - new.keys()), moved, relabelled)


def _images(dataset: LocalDataset) -> dict[str, tuple[str, list[str]]]:
    """Digest of an image's bytes → its split and its classes."""
    return {str(frame["sha256"]): (str(frame["split"]), labels_of(frame)) for frame in dataset.frames}
