"""Locks between processes of one machine, by file: the kernel frees a dead holder's. A model's lease is one of them."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from registry.digests import sha256_bytes
from registry.errors import BusyError
from registry.files import open_plainly, storing


class Lease:
    """A lease that cannot be lost while its process lives."""

    def check(self) -> None:
        """Nothing to check: the kernel holds the lock for us."""


@dataclass(frozen=True)
class FileLeases:
    """Leases as locked files in one folder. Not for several machines on a network file system."""

    folder: Path

    @contextmanager
    def hold(self, model: str, *, wait: bool = True) -> Generator[Lease]:
        """Hold the model's lock within the block; a lock that another process has is waited for, or raises BusyError."""
        with locked(self.folder / f"{sha256_bytes(model.encode())[:16]}.lock", busy_error(model), wait=wait):
            yield Lease()


@contextmanager
def locked(path: Path, busy: Exception, *, wait: bool = True) -> Generator[None]:
    """Hold a lock file within the block. Without `wait`, one that another process holds raises `busy`.

    The file is never written to, and a symbolic link is not followed: it could lead to a file that matters.
    """
    with storing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = open_plainly(path, os.O_RDWR)
    with os.fdopen(handle, "rb"):  # closing it frees the lock
        try:
            fcntl.flock(handle, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise busy from error
        yield


@contextmanager
def locked_folder(folder: Path, busy: Exception | None = None) -> Generator[None]:
    """Hold a folder itself locked within the block, which needs no lock file, and so no room on a full disk.

    A folder that another process holds raises `busy`; without `busy` it is waited for.
    """
    handle = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB if busy else fcntl.LOCK_EX)
        except BlockingIOError as error:
            raise busy or error from error
        yield
    finally:
        os.close(handle)


def busy_error(model: str) -> BusyError:
    """The error for a lease that another process holds."""
    return BusyError(f"model '{model}'", "another promotion or reconciler works on it now", "try again when it has finished")
