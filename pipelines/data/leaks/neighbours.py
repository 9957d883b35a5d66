"""Which pictures may be alike: nearest neighbours by a small description, exact for few, by HNSW for many."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines.data.leaks.measure import Pictures
from pipelines.data.leaks.thumbnails import SIDE

_CELLS = 8
_EXACT = 20_000
"""Up to so many pictures are searched one by one, which is quicker than building a graph."""
_LINKS, _BUILD, _SEARCH = 16, 64, 128
_LIMIT = 1.0
"""What moves in front of a scene counts no more than this in each cell, however bright it is."""
_THREADS = 2

Descriptions = NDArray[np.float32]
"""`[N, 192]`: colours of 8 x 8 cells, without their median and by their spread, so that light does not count."""


def describe(pictures: Pictures, spread: NDArray[np.float32]) -> Descriptions:
    """Describe thumbnails so that what moves in front of a scene changes few of the figures."""
    step = SIDE // _CELLS
    cells = pictures.reshape(len(pictures), _CELLS, step, _CELLS, step, 3).mean(axis=(2, 4), dtype=np.float32)
    flat = cells.reshape(len(pictures), -1, 3)
    flat = flat - np.median(flat, axis=1, keepdims=True)
    scaled = np.clip(flat / (spread[:, None, None] + 4), -_LIMIT, _LIMIT)
    return np.ascontiguousarray(scaled.reshape(len(pictures), -1), np.float32)


def mirrored(descriptions: Descriptions) -> Descriptions:
    """The descriptions of the pictures' mirror images."""
    cells = descriptions.reshape(len(descriptions), _CELLS, _CELLS, 3)
    return np.ascontiguousarray(cells[:, :, ::-1].reshape(len(descriptions), -1))


class Neighbours:
    """The pictures of one split, to be asked for those nearest to others."""

    def __init__(self, descriptions: Descriptions) -> None:
        """Build the index."""
        import faiss

        faiss.omp_set_num_threads(_THREADS)
        width = descriptions.shape[1]
        self._count = len(descriptions)
        self._index: Any = faiss.IndexFlatL2(width) if self._count <= _EXACT else faiss.IndexHNSWFlat(width, _LINKS)
        if self._count > _EXACT:
            self._index.hnsw.efConstruction, self._index.hnsw.efSearch = _BUILD, _SEARCH
        self._index.add(descriptions)

    def nearest(self, descriptions: Descriptions, count: int) -> NDArray[np.int64]:
        """`[N, count]` places in the split that was given, nearest first; fewer where it has fewer."""
        return self._index.search(descriptions, min(count, self._count))[1]
