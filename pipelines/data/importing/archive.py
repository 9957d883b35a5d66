"""A zip or tar archive, unpacked into a temporary folder that is always removed.

Nothing is written but regular files below that folder, and no more bytes than an archive of pictures can hold. A member that
points elsewhere, by its name or as a link, is an attack or a mistake, and the archive is refused for it; a link within the
archive or a device is left out.
"""

from __future__ import annotations

import os
import re
import shutil
import stat
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Generator, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from pipelines.data.importing.listing import LeftOut
from pipelines.data.sources import printable
from registry.errors import InputError, StorageError
from registry.files import storing

MOST_MEMBERS = 1_000_000
MOST_BYTES = 256_000_000_000
RATIO, FREE_BYTES = 100, 200_000_000
"""Pictures are packed already: of more than so many bytes, no archive holds a hundred times its own size."""
_CHUNK, _LONGEST_TARGET = 1 << 20, 4096
_REMEDY = "make the archive again, or unpack it yourself and import the folder"


@dataclass(frozen=True, slots=True)
class _Item:
    """A member: its name, what it is ("" for a file), its declared size, and the archive's own record of it."""

    name: str
    kind: str
    size: int
    info: Any


@contextmanager
def unpacked(path: Path) -> Generator[tuple[Path, list[LeftOut]]]:
    """An archive's files in a folder, and what was not written. Raises InputError for one that is damaged or dangerous."""
    with _opened(path) as archive, tempfile.TemporaryDirectory(prefix="modelyard-import-") as folder:
        yield Path(folder), _unpack(archive, path, Path(folder))


def _opened(path: Path) -> AbstractContextManager[zipfile.ZipFile | tarfile.TarFile]:
    try:
        if zipfile.is_zipfile(path):
            return zipfile.ZipFile(path)
        return tarfile.open(path, "r:*")
    except (zipfile.BadZipFile, tarfile.TarError, OSError, EOFError, ValueError, zlib.error, NotImplementedError) as error:
        raise InputError(path, "is neither a folder nor a whole .zip or .tar.gz archive", "name one of these") from error


def _unpack(archive: zipfile.ZipFile | tarfile.TarFile, path: Path, folder: Path) -> list[LeftOut]:
    left_out, written, most = list[LeftOut](), 0, max(FREE_BYTES, RATIO * path.stat().st_size)
    items = _checked(archive, path, min(most, MOST_BYTES))
    _check_room(path, folder, sum(item.size for item in items if not item.kind))
    for item in items:
        target = folder / item.name
        if item.kind:
            left_out.append(LeftOut(printable(Path(item.name)), item.kind))
        elif os.path.lexists(target):
            left_out.append(LeftOut(printable(Path(item.name)), "the archive has this name twice: the first counts"))
        else:
            try:
                written += _write(archive, item, target, min(most, MOST_BYTES) - written, path)
            except _UNREADABLE as error:
                target.unlink(missing_ok=True)
                left_out.append(
                    LeftOut(
                        printable(Path(item.name)),
                        f"is damaged in the archive ({str(error)[:80] or type(error).__name__})",
                    )
                )
            except OSError as error:
                if error.errno in {28, 122, 27, 30}:  # no space, quota, too large, read-only: not the file's fault
                    raise
                left_out.append(LeftOut(printable(Path(item.name)), f"cannot be written ({error.strerror})"))
    return left_out


_UNREADABLE = (zipfile.BadZipFile, tarfile.TarError, EOFError, zlib.error, NotImplementedError, RuntimeError, ValueError)


def _checked(archive: zipfile.ZipFile | tarfile.TarFile, path: Path, most: int) -> list[_Item]:
    """Every member's item, once none of them is dangerous."""
    items, total = list[_Item](), 0
    try:
        for item in _zip_items(archive, path) if isinstance(archive, zipfile.ZipFile) else _tar_items(archive, path):
            _check_name(item.name, path)
            total += item.size
            items.append(item)
            if len(items) > MOST_MEMBERS or total > most:
                what = f"{len(items):,} files" if len(items) > MOST_MEMBERS else f"{total:,} bytes and more"
                raise InputError(path, f"would unpack to {what}, which is no archive of pictures", _REMEDY)
    except (tarfile.TarError, EOFError, zlib.error, OSError, ValueError) as error:
        raise InputError(path, f"is damaged ({error})", _REMEDY) from error
    return items


def _zip_items(archive: zipfile.ZipFile, path: Path) -> Iterator[_Item]:
    for info in archive.infolist():
        if info.flag_bits & 1:
            raise InputError(path, "is encrypted", "unpack it with its password and import the folder")
        mode = info.external_attr >> 16
        kind = "" if stat.S_IFMT(mode) in {0, stat.S_IFREG, stat.S_IFDIR} else _kind(stat.S_ISLNK(mode))
        name = info.filename.replace("\\", "/")
        if kind and stat.S_ISLNK(mode):
            _check_link(name, archive.open(info).read(_LONGEST_TARGET).decode("utf-8", "replace"), path)
        if not name.endswith("/"):
            yield _Item(name, kind, info.file_size, info)


def _tar_items(archive: tarfile.TarFile, path: Path) -> Iterator[_Item]:
    for info in archive:
        if not info.isdir():
            kind = "" if info.isreg() else _kind(info.issym() or info.islnk())
            if info.issym():
                _check_link(info.name, info.linkname, path)
            elif info.islnk():
                _check_name(info.linkname, path)
            yield _Item(info.name, kind, info.size if info.isreg() else 0, info)


def _kind(is_link: bool) -> str:  # noqa: FBT001 one word of two
    return "a link in the archive" if is_link else "no file: a device or a pipe in the archive"


def _check_name(name: str, path: Path) -> None:
    """Raise InputError for a name that leaves the folder, on any system."""
    parts = PurePosixPath(name).parts
    if not name or name.startswith("/") or ".." in parts or re.match(r"^[A-Za-z]:", name) or "\0" in name:
        shown_name = name.encode("unicode_escape").decode()
        raise InputError(
            path, f"has a member that points out of it ('{shown_name[:120]}')", "do not trust it; ask whoever made it"
        )


def _check_link(name: str, target: str, path: Path) -> None:
    """Raise InputError for a link that leaves the folder."""
    below = PurePosixPath(os.path.normpath(PurePosixPath(name).parent / target.replace("\\", "/")))
    if below.is_absolute() or below.parts[:1] == ("..",) or re.match(r"^[A-Za-z]:", target):
        shown_link = f"{name} → {target}".encode("unicode_escape").decode()
        raise InputError(
            path, f"has a link that points out of it ('{shown_link[:120]}')", "do not trust it; ask whoever made it"
        )


def _check_room(path: Path, folder: Path, size: int) -> None:
    free = shutil.disk_usage(folder).free
    if size > free:
        raise StorageError(
            path,
            f"unpacks to {size / 1e6:,.0f} MB, but {folder.parent} has {free / 1e6:,.0f} MB left",
            "free some space, or set TMPDIR",
        )


def _write(archive: zipfile.ZipFile | tarfile.TarFile, item: _Item, target: Path, most: int, path: Path) -> int:
    """Write a member's bytes and return how many they are; never more than are left."""
    source = archive.open(item.info) if isinstance(archive, zipfile.ZipFile) else archive.extractfile(item.info)
    count = 0
    with storing(target):
        target.parent.mkdir(parents=True, exist_ok=True)
    if source is None:
        raise EOFError
    with source, target.open("xb") as file:
        while chunk := source.read(_CHUNK):
            count += len(chunk)
            if count > most:
                raise InputError(path, "holds more bytes than it says", "do not trust it; ask whoever made it")
            with storing(target):
                file.write(chunk)
    return count
