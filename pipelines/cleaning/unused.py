"""One thing on disk that nothing refers to: what it is, how large, why it may go; and how it goes."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Literal, get_args

from registry.records import Record

Kind = Literal["bundles", "datasets", "trainings", "cache", "environments", "logs", "leftovers"]
KINDS: tuple[Kind, ...] = get_args(Kind)


class Unused(Record):
    """A file or a folder that may be removed. `size` is in bytes, and what other names (hard links) keep is not counted."""

    kind: Kind
    path: str
    size: int
    why: str


def unused(kind: Kind, path: Path, why: str) -> Unused:
    """With its size."""
    return Unused(kind=kind, path=str(path), size=size_of(path), why=why)


def size_of(path: Path) -> int:
    """The bytes that removing a file or a folder gives back."""
    total, names = 0, dict[tuple[int, int], list[int]]()
    for file in files_of(path):
        with suppress(OSError):
            status = file.lstat()
            seen = names.setdefault((status.st_dev, status.st_ino), [0, status.st_nlink, status.st_size])
            seen[0] += 1
    for ours, links, size in names.values():
        total += size if ours >= links else 0
    return total


def files_of(path: Path) -> Iterable[Path]:
    """A file itself, or everything in a folder that is not a folder; links are not followed."""
    if path.is_symlink() or not path.is_dir():
        return [path]
    return [Path(folder) / name for folder, _, names in os.walk(path) for name in names]


def newest(path: Path) -> float:
    """When anything in it was last written, in seconds since 1970."""
    times = [0.0]
    for file in (path, *files_of(path)):
        with suppress(OSError):
            times.append(file.lstat().st_mtime)
    return max(times)


def remove(item: Unused) -> None:
    """Remove it: under its own name it is there whole or not at all. What a killed process leaves of it is a leftover."""
    path = Path(item.path)
    if path.is_symlink() or not path.is_dir():
        path.unlink(missing_ok=True)
        return
    aside = Path(tempfile.mkdtemp(prefix=f".{path.name[:80]}.removed.", dir=path.parent))
    path.rename(aside / "it")
    shutil.rmtree(aside)
