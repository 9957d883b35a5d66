"""Files that are either whole or not there: reads that name what is wrong, writes that end in a rename."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import itertools
import json
import os
import shutil
import stat
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol, Self, TypeVar

from registry.errors import DamagedFileError, MissingFileError, StorageError

REMEDY = "restore it from a backup, or remove it"
"""What helps with a state file that cannot be read, where a caller knows nothing better."""

_NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS}
_LARGEST = 256_000_000
"""Bytes of a state file. The largest that exist are manifests: a million frames take some 200 MB."""
_HERE, _EXCHANGE = -100, 2
"""Linux's AT_FDCWD (paths are relative to the current folder) and RENAME_EXCHANGE."""
_ONE_BY_ONE = 64
"""From so many files on, flushing the whole file system once is quicker than each file by itself."""


class _Validated(Protocol):
    """A pydantic model: this file does not import pydantic, for which a cold start would wait."""

    @classmethod
    def model_validate(cls, value: Any, /) -> Self: ...


R = TypeVar("R", bound=_Validated)


def disk_full_message(text: str) -> str | None:
    """The words for a full disk that another program's message holds, if it does."""
    return next((words for code in sorted(_NO_ROOM) if (words := os.strerror(code)) in text), None)


@contextmanager
def storing(subject: object) -> Generator[None]:
    """Map a disk that is full or read-only to one clear line."""
    try:
        yield
    except OSError as error:
        if error.errno in _NO_ROOM:
            why = f"could not be written ({os.strerror(error.errno)})"
            raise StorageError(subject, why, "free some space or choose another --home, then run it again") from error
        raise


@contextmanager
def building(folder: Path) -> Generator[Path]:
    """Yield a temporary sibling of `folder` that becomes it, whole, when the block ends well.

    An older `folder` is replaced. When the block fails, nothing of it stays and the old one is untouched.
    """
    with storing(folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
        work = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
        try:
            yield work
            work.chmod(0o755)
            replace_folder(work, folder)
        finally:
            _remove(work)


def replace_folder(fresh: Path, folder: Path) -> None:
    """Put `fresh` in the place of `folder`, both on one file system; on disk, and never a moment without either.

    What was there before lies at `fresh` afterwards, or is gone.
    """
    _flush_tree(fresh)
    _swap(fresh, folder)
    _flush(folder.parent)


def _remove(path: Path) -> None:
    """Remove a folder, or whatever else a folder has replaced."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _swap(fresh: Path, folder: Path) -> None:
    """Rename `fresh` to `folder`. What was there is exchanged with it in one step, where the system can.

    Elsewhere the old folder moves aside first; that leaves a moment without either, and a failure puts the old one back.
    """
    if not os.path.lexists(folder):
        fresh.rename(folder)
    elif not _exchange(fresh, folder):
        _move_aside(fresh, folder)


def _exchange(one_path: Path, other_path: Path) -> bool:
    """Exchange two paths in one step (Linux's renameat2); False where the system or the file system cannot."""
    try:
        rename = ctypes.CDLL(None, use_errno=True).renameat2
    except (OSError, AttributeError):
        return False
    if rename(_HERE, os.fsencode(one_path), _HERE, os.fsencode(other_path), _EXCHANGE) == 0:
        return True
    code = ctypes.get_errno()
    if code in {errno.EINVAL, errno.ENOSYS, errno.ENOTSUP, errno.EPERM}:  # EPERM: a sandbox that knows no such call
        return False
    raise OSError(code, os.strerror(code), str(other_path))


def _move_aside(fresh: Path, folder: Path) -> None:
    aside = Path(tempfile.mkdtemp(prefix=f".{folder.name}.old.", dir=folder.parent))
    folder.rename(aside / "old")
    try:
        fresh.rename(folder)
    except BaseException:
        (aside / "old").rename(folder)
        raise
    shutil.rmtree(aside, ignore_errors=True)


def _flush_tree(folder: Path) -> None:
    """Bring every file and folder below a folder to disk, and the folder itself."""
    folders, files = [folder], list[Path]()
    for path in folder.rglob("*"):
        if path.is_symlink():
            continue
        (folders if path.is_dir() else files).append(path)
    if len(files) > _ONE_BY_ONE and _flush_file_system(folder):
        return
    for path in (*files, *reversed(folders)):
        _flush(path)


def _flush(path: Path) -> None:
    """Bring a folder's names, or a file's bytes, to disk."""
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in {errno.EINVAL, errno.ENOTSUP}:  # a file system that cannot flush a folder
            raise
    finally:
        os.close(handle)


def _flush_file_system(folder: Path) -> bool:
    """Flush the folder's whole file system at once (Linux's syncfs); False where the system cannot."""
    try:
        sync = ctypes.CDLL(None, use_errno=True).syncfs
    except (OSError, AttributeError):
        return False
    handle = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return sync(handle) == 0
    finally:
        os.close(handle)


def write_atomic(path: Path, data: bytes) -> None:
    """Write bytes to a temporary name, flush them to disk, and rename: readers see old or new, never half."""
    with _beside(path, data) as written:
        written.replace(path)
    _flush(path.parent)


def create_once(path: Path, data: bytes) -> None:
    """Write a file that only its owner can read, unless it is there: of processes that race, all read the winner's."""
    with _beside(path, data) as written, contextlib.suppress(FileExistsError):
        os.link(written, path)
    _flush(path.parent)


@contextmanager
def _beside(path: Path, data: bytes) -> Generator[Path]:
    """Bytes on disk, in a temporary file beside `path` that is gone when the block ends."""
    with storing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)  # mkstemp: 0600
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            yield Path(name)
        finally:
            Path(name).unlink(missing_ok=True)


def write_json(path: Path, value: object) -> None:
    """Write a value as indented JSON, atomically."""
    write_atomic(path, (json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode())


def read_bytes(path: Path, remedy: str = REMEDY) -> bytes:
    """A state file's bytes.

    Raises MissingFileError where nothing is there, and DamagedFileError for a folder, a pipe, a device, a file that may not
    be read, and one that is larger than any of ours. Never waits for another process, as opening a pipe would.
    """
    try:
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError as error:
        raise MissingFileError(path, "is not there", remedy) from error
    except OSError as error:
        raise _unusable(path, error, "read", remedy) from error
    try:
        state = os.fstat(handle)
        if not stat.S_ISREG(state.st_mode):
            raise DamagedFileError(path, f"is {_sort(state.st_mode)} and not a file", remedy)
        if state.st_size > _LARGEST:
            raise DamagedFileError(path, f"is larger than any file of ours ({state.st_size / 1e6:,.0f} MB)", remedy)
        with os.fdopen(handle, "rb", closefd=False) as file:
            return file.read()
    except OSError as error:
        raise _unusable(path, error, "read", remedy) from error
    finally:
        os.close(handle)


def read_text(path: Path, remedy: str = REMEDY) -> str:
    """A text file of ours. Raises as `read_bytes` does, and DamagedFileError for one that is no UTF-8."""
    try:
        return read_bytes(path, remedy).decode()
    except UnicodeDecodeError as error:
        raise DamagedFileError(path, "is not text", remedy) from error


def read_json(path: Path, remedy: str = REMEDY) -> Any:
    """A JSON file. Raises MissingFileError where there is none, and DamagedFileError for one that cannot be read as JSON."""
    data = read_bytes(path, remedy)
    try:
        return json.loads(data)
    except (ValueError, RecursionError) as error:  # not UTF-8 is a ValueError too; a thousand brackets are the other
        why = "is empty" if not data.strip(b"\0 \t\r\n") else "is cut or damaged: it is not JSON"
        raise DamagedFileError(path, why, remedy) from error


def read_record(path: Path, kind: type[R], what: str, remedy: str = REMEDY) -> R:
    """A JSON file as a record, which is `what` to a reader. Raises as `read_json` does, also for fields of another kind."""
    data = read_bytes(path, remedy)
    try:
        return kind.model_validate(json.loads(data))
    except (ValueError, RecursionError) as error:
        raise DamagedFileError(path, f"is not {what}", remedy) from error


def set_aside(path: Path, why: str = "damaged") -> Path:
    """Rename what lies at a path and is used no more, so that nothing is lost; its new path."""
    beside = (path.with_name(f"{path.name}.{why}{number or ''}") for number in itertools.count())
    target = next(target for target in beside if not os.path.lexists(target))
    path.rename(target)
    return target


def open_plainly(path: Path, flags: int) -> int:
    """Open a lock or log file of ours, made where there is none; nothing but a file in that very place.

    The number of the handle, which child processes do not inherit by themselves. Raises DamagedFileError.
    """
    try:
        handle = os.open(path, flags | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, 0o644)
    except OSError as error:
        if error.errno in _NO_ROOM:
            raise
        raise _unusable(path, error, "opened", "remove it: it is made again") from error
    if not stat.S_ISREG(sort := os.fstat(handle).st_mode):
        os.close(handle)
        raise DamagedFileError(path, f"is {_sort(sort)} and not a file", "remove it: it is made again")
    return handle


def _unusable(path: Path, error: OSError, verb: str, remedy: str) -> DamagedFileError:
    """The error for a file that the system does not open."""
    whys = {errno.ELOOP: "is a symbolic link", errno.EISDIR: "is a folder and not a file"}
    if error.errno in whys:
        return DamagedFileError(path, whys[error.errno], remedy)
    why = os.strerror(error.errno).lower() if error.errno else str(error)
    remedy = "see who may read it" if error.errno in {errno.EACCES, errno.EPERM} else remedy
    return DamagedFileError(path, f"cannot be {verb} ({why})", remedy)


def _sort(mode: int) -> str:
    kinds = ((stat.S_ISDIR, "a folder"), (stat.S_ISFIFO, "a pipe"), (stat.S_ISSOCK, "a socket"))
    return next((name for holds, name in kinds if holds(mode)), "a device")
