"""Per-model leases between processes of one machine, by file lock: the kernel frees a dead holder's."""

from __future__ import annotations

import fcntl
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from registry.files import sha256_bytes


@dataclass(frozen=True)
class FileLeases:
    """Leases as locked files in one folder. Not for several machines on a network file system."""

    folder: Path

    @contextmanager
    def hold(self, model: str) -> Generator[None]:
        """Wait for the model's lock and hold it within the block."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / f"{sha256_bytes(model.encode())[:16]}.lock").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield
