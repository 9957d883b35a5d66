"""Pictures as rows of numbers that need no download: where edges run, and a coarse picture of the colours."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pipelines.data.dataset import DataSet, FrameRow, Progress
from serving.bundle.decode import decode

_SIDE, _CELLS, _BINS = 64, 8, 9
"""Edges are counted in 8 x 8 cells of a picture of 64 x 64 pixels, in 9 directions."""
_COLOURS = 8
_CLIPPED, _FLOOR = 0.3, 4.0
"""A direction's largest share in its block, and the contrast in grey levels below which a block counts as flat."""
_LENGTH = (_CELLS - 1) ** 2 * 4 * _BINS + _COLOURS**2 * 3


def features_of(data: DataSet, rows: Sequence[FrameRow], progress: Progress) -> NDArray[np.float32]:
    """One line of 1,956 numbers a picture (8 kB); pictures are read one at a time. Raises InputError for no picture."""
    lines = np.zeros((len(rows), _LENGTH), np.float32)
    for index, row in enumerate(rows):
        path = data.folder / row.file
        lines[index] = picture_features(decode(path.read_bytes(), row.file, _SIDE))
        progress("pictures", index + 1, len(rows))
    return lines


def picture_features(image: Image.Image) -> NDArray[np.float32]:
    """Histograms of oriented gradients and the colours of an RGB picture, squashed to a square."""
    small = image.resize((_SIDE, _SIDE), Image.Resampling.BILINEAR, reducing_gap=2)
    colours = np.asarray(small.resize((_COLOURS, _COLOURS), Image.Resampling.BILINEAR), np.float32).ravel() / np.float32(255)
    return np.concatenate([_gradients(np.asarray(small.convert("L"), np.float32)), colours], dtype=np.float32)


def _gradients(grey: NDArray[np.float32]) -> NDArray[np.float32]:
    """Directions of edges in blocks of 2 x 2 cells, each block normalised: shadows and exposure count for less."""
    down, right = np.gradient(grey)
    size = np.hypot(right, down)
    angle = (np.arctan2(down, right) % np.pi) / np.pi * _BINS
    share = angle - np.floor(angle)
    lower = np.floor(angle).astype(int) % _BINS
    cell = np.arange(_SIDE) // (_SIDE // _CELLS)
    first = (cell[:, None] * _CELLS + cell[None, :]) * _BINS
    count = _CELLS * _CELLS * _BINS
    cells = np.bincount((first + lower).ravel(), (size * (1 - share)).ravel(), count)
    cells += np.bincount((first + (lower + 1) % _BINS).ravel(), (size * share).ravel(), count)
    grid = cells.reshape(_CELLS, _CELLS, _BINS)
    blocks = np.concatenate([grid[:-1, :-1], grid[:-1, 1:], grid[1:, :-1], grid[1:, 1:]], axis=-1)
    blocks /= np.linalg.norm(blocks, axis=-1, keepdims=True) + _FLOOR
    return np.minimum(blocks, _CLIPPED).ravel().astype(np.float32)
