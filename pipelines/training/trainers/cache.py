"""Arrays that are kept because they are slow to make again: decoded images and features. Anything in it may be deleted."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

_MOST_BYTES = 2 << 30


class ArrayCache:
    """Arrays by key in a folder of bounded size; those that were used least recently go first."""

    def __init__(self, folder: Path, most_bytes: int = _MOST_BYTES) -> None:
        """The folder is made when something is written."""
        self._folder, self._most = folder, most_bytes

    def read(self, key: str) -> NDArray[Any] | None:
        """An array, or None where there is none that can be read. Nothing in the file is run."""
        path = self._folder / f"{key}.npy"
        try:
            array = np.load(path, allow_pickle=False)
            os.utime(path)
        except (OSError, ValueError, EOFError):
            return None
        return array

    def write(self, key: str, array: NDArray[Any]) -> None:
        """Keep an array, unless it is too large or the disk refuses: the next training only takes longer."""
        if array.nbytes > self._most // 2:
            return
        path = self._folder / f"{key}.npy"
        part = path.with_suffix(f".{os.getpid()}")
        with suppress(OSError):
            self._folder.mkdir(parents=True, exist_ok=True)
            with part.open("wb") as file:
                np.save(file, array, allow_pickle=False)
            part.replace(path)
            self._shrink()
        with suppress(OSError):
            part.unlink(missing_ok=True)

    def _shrink(self) -> None:
        kept = 0
        for path in sorted(self._folder.glob("*.npy"), key=lambda path: path.stat().st_mtime, reverse=True):
            kept += path.stat().st_size
            if kept > self._most:
                path.unlink(missing_ok=True)
