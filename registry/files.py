"""Files that are either whole or not there: digests, manifests, and writes that end in a rename."""

from __future__ import annotations

import errno
import json
import os
import shutil
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from registry.errors import StorageError

_NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS}


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
            _replace_folder(work, folder)
        finally:
            shutil.rmtree(work, ignore_errors=True)


def _replace_folder(fresh: Path, folder: Path) -> None:
    """Rename `fresh` to `folder`; a folder in the way is moved aside first and removed last."""
    if not folder.exists():
        fresh.rename(folder)
        return
    aside = Path(tempfile.mkdtemp(prefix=f".{folder.name}.old.", dir=folder.parent))
    folder.rename(aside / "old")
    try:
        fresh.rename(folder)
    except BaseException:
        (aside / "old").rename(folder)
        raise
    shutil.rmtree(aside, ignore_errors=True)


def write_atomic(path: Path, data: bytes) -> None:
    """Write bytes to a temporary name, flush them to disk, and rename: readers see old or new, never half."""
    with storing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            Path(name).replace(path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise


def write_json(path: Path, value: object) -> None:
    """Write a value as indented JSON, atomically."""
    write_atomic(path, (json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode())


def read_json(path: Path) -> Any:
    """Read a JSON file."""
    return json.loads(path.read_bytes())
