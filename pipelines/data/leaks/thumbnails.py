"""Every picture once, decoded at a reduced scale and kept as a small thumbnail: what all comparisons of pixels look at."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import cv2
import numpy as np
from numpy.typing import NDArray

from pipelines.data.dataset import Progress

SIDE = 40
"""Pixels of a thumbnail's side. At 20 the scenes of one room begin to look alike, at 80 the noise of a camera tells."""

Pictures = NDArray[np.uint8]
"""`[N, 40, 40, 3]`, BGR."""
_BATCH = 512
_THREADS = 2
_REDUCED = ((8, cv2.IMREAD_REDUCED_COLOR_8), (4, cv2.IMREAD_REDUCED_COLOR_4), (2, cv2.IMREAD_REDUCED_COLOR_2))


@dataclass(frozen=True, slots=True)
class Sized:
    """A picture's file and its size in pixels, by which the scale to decode at is chosen."""

    path: Path
    width: int
    height: int


@contextmanager
def thumbnails(files: Sequence[Sized], progress: Progress) -> Iterator[tuple[Pictures, NDArray[np.bool_]]]:
    """All thumbnails, mapped from a temporary file (480 MB for 100,000), and which of them could be read."""
    readable = np.zeros(len(files), bool)
    with TemporaryDirectory(prefix="modelyard-") as scratch, ThreadPoolExecutor(_THREADS) as pool:
        pictures = np.memmap(Path(scratch) / "thumbnails", np.uint8, "w+", shape=(max(len(files), 1), SIDE, SIDE, 3))
        for start in range(0, len(files), _BATCH):
            for index, small in enumerate(pool.map(thumbnail, files[start : start + _BATCH]), start):
                if small is not None:
                    pictures[index], readable[index] = small, True
            progress("looking at the pictures", min(start + _BATCH, len(files)), len(files))
        yield pictures[: len(files)], readable
        del pictures


def thumbnail(file: Sized) -> Pictures | None:
    """One picture, `[40, 40, 3]`; None where it cannot be read, which another check says."""
    least = min(file.width, file.height)
    scale = next((flag for factor, flag in _REDUCED if least >= factor * 2 * SIDE), cv2.IMREAD_COLOR)
    try:
        image = cv2.imdecode(np.fromfile(file.path, np.uint8), scale)
    except (cv2.error, OSError):
        return None
    return None if image is None else cv2.resize(image, (SIDE, SIDE), interpolation=cv2.INTER_AREA).astype(np.uint8)
