"""What lies in a folder: every file below it, once, with a reason for each that is not read."""

from __future__ import annotations

import os
import stat
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path, PurePosixPath, PureWindowsPath

from pipelines.data.sources import CLIP_ENDINGS, IMAGE_ENDINGS, printable
from registry.errors import InputError, NotFoundError

_NOT_MEANT = {"__macosx", "thumbs.db", "desktop.ini", "@eadir", "modelyard.yaml"}
"""What systems leave in folders for themselves, and our own job file."""
_KINDS = ((stat.S_ISFIFO, "a pipe"), (stat.S_ISSOCK, "a socket"), (stat.S_ISBLK, "a device"), (stat.S_ISCHR, "a device"))


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A file that is not read, and why."""

    file: str
    why: str


@dataclass(frozen=True)
class Listing:
    """Files below a folder, as paths relative to it, sorted. `ignored`: hidden ones, and what systems leave for themselves."""

    root: Path
    files: Sequence[Path]
    folders: Sequence[Path] = ()
    left_out: Sequence[LeftOut] = ()
    ignored: int = 0
    _by_name: dict[str, list[Path]] = field(default_factory=dict[str, list[Path]])

    @cached_property
    def pictures(self) -> list[Path]:
        """Files that are called pictures."""
        return [path for path in self.files if path.suffix.lower() in IMAGE_ENDINGS]

    @cached_property
    def picture_set(self) -> frozenset[Path]:
        """The same, to look one up."""
        return frozenset(self.pictures)

    @cached_property
    def clips(self) -> list[Path]:
        """Files that are called clips."""
        return [path for path in self.files if path.suffix.lower() in CLIP_ENDINGS]

    def ending(self, *endings: str) -> list[Path]:
        """Files with these endings, the nearest to the root first."""
        files = [path for path in self.files if path.suffix.lower() in endings]
        return sorted(files, key=lambda path: (len(path.parts), path))

    def below(self, folder: Path) -> list[Path]:
        """The pictures below a folder."""
        return [path for path in self.pictures if path.is_relative_to(folder)]

    def find(self, name: str, near: Path) -> Path | None:
        """The picture that an annotation names, wherever it was written: of those whose path ends alike, the nearest.

        Only listed files can be the answer, so a name with `..` or a leading `/` opens nothing else.
        """
        if not self._by_name:
            for path in self.pictures:
                self._by_name.setdefault(printable(Path(path.name)).casefold(), []).append(path)
        wanted = _parts(name)
        candidates = self._by_name.get(wanted[-1].casefold(), []) if wanted else []
        ranked = sorted(((*_alike(path, wanted), -_apart(path, near), path) for path in candidates), reverse=True)
        if not ranked or (len(ranked) > 1 and ranked[0][:-1] == ranked[1][:-1]):
            return None
        return ranked[0][-1]


def plain(text: str) -> str:
    """Text out of somebody's file as it can be stored: halves of characters, which JSON can hold, are escaped."""
    return text.encode("utf-8", "backslashreplace").decode()


def list_folder(root: Path, most: int | None = None) -> Listing:
    """Look at every entry below a folder; links out of it and links to folders are not followed.

    Raises InputError for more than `most` files, where somebody only wants to know what it is.
    """
    if not root.is_dir():
        raise NotFoundError(printable(root), "there is no such folder", "see how it is spelled")
    real, files, folders, left_out, ignored = root.resolve(), list[Path](), list[Path](), list[LeftOut](), 0
    waiting = [Path()]
    while waiting:
        folder = waiting.pop()
        if most is not None and len(files) > most:
            raise InputError(printable(root), f"holds more than {most:,} files", "name the folder of the data")
        try:
            entries = sorted(os.scandir(root / folder), key=lambda entry: entry.name)
        except OSError as error:
            left_out.append(LeftOut(printable(folder), f"the folder cannot be read ({error.strerror})"))
            continue
        if not entries and folder.suffix.lower() in CLIP_ENDINGS | IMAGE_ENDINGS:
            left_out.append(LeftOut(printable(folder), "an empty folder"))
        for entry in entries:
            path = folder / entry.name
            if entry.name.startswith(".") or entry.name.lower() in _NOT_MEANT:
                ignored += _count(Path(entry.path)) if entry.is_dir(follow_symlinks=False) else 1
            elif entry.is_dir(follow_symlinks=False):
                waiting.append(path)
                folders.append(path)
            elif why := _unfit(entry, real):
                left_out.append(LeftOut(printable(path), why))
            else:
                files.append(path)
    return Listing(root, sorted(files), sorted(folders), left_out, ignored)


def _count(folder: Path) -> int:
    return sum(len(names) for _, _, names in os.walk(folder))


def _unfit(entry: os.DirEntry[str], root: Path) -> str:
    """Why an entry that is no folder is not looked into; empty for a file."""
    try:
        if entry.is_symlink():
            target = Path(entry.path).resolve()
            if not target.is_relative_to(root):
                return "a link out of the folder"
            if target.is_dir():
                return "a link to a folder"
        mode = entry.stat().st_mode
    except (OSError, RuntimeError):
        return "a link to nothing" if entry.is_symlink() else "cannot be read"
    if stat.S_ISREG(mode):
        return ""
    return next((words for is_such, words in _KINDS if is_such(mode)), "no file")


def _parts(name: str) -> tuple[str, ...]:
    """The parts of a path that a tool of any system wrote, without drive, root and dots."""
    path = PureWindowsPath(name) if "\\" in name else PurePosixPath(name)
    return tuple(part for part in path.parts if part not in {path.anchor, ".", ".."})


def _alike(path: Path, wanted: Sequence[str]) -> tuple[int, int]:
    """How many last parts are the same; then whether the last is spelled exactly so."""
    parts, same = printable(path).split("/"), 0
    for ours, theirs in zip(reversed(parts), reversed(wanted), strict=False):
        if ours.casefold() != theirs.casefold():
            break
        same += 1
    return same, int(parts[-1] == wanted[-1])


def _apart(path: Path, near: Path) -> int:
    """How many steps lead from one folder to the other."""
    common = len(os.path.commonpath([f"/{path.parent}", f"/{near}"]).split("/")) - 1 if near.parts else 0
    return len(path.parent.parts) + len(near.parts) - 2 * common


def by_folder(paths: Iterable[Path]) -> dict[Path, list[Path]]:
    """Files by the folder that they lie in."""
    folders: dict[Path, list[Path]] = defaultdict(list)
    for path in paths:
        folders[path.parent].append(path)
    return folders
