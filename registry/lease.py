"""Per-model leases between processes of one machine, by file lock: the kernel frees a dead holder's."""

from __future__ import annotations

import fcntl
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from registry.digests import sha256_bytes
from registry.errors import BusyError


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
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / f"{sha256_bytes(model.encode())[:16]}.lock").open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise busy_error(model) from error
            yield Lease()


def busy_error(model: str) -> BusyError:
    """The error for a lease that another process holds."""
    return BusyError(f"model '{model}'", "another promotion or reconciler works on it now", "try again when it has finished")
