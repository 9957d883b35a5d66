"""A split's images in memory, decoded once on all cores through the one preprocessing, and kept by digest for the next time."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from pipelines.data.dataset import DataSet
from pipelines.training.trainers.cache import ArrayCache
from registry.digests import canonical
from serving.bundle.preprocess import Pixels, Preprocess


@dataclass(frozen=True)
class Images:
    """Images in memory: uint8 `[N, 3, S, S]`, class indices `[N]`, and the files they come from."""

    pixels: Tensor
    targets: Tensor
    files: Sequence[str] = ()

    def to(self, device: torch.device) -> Images:
        """The same on a device, in the layout that convolutions are fastest in there."""
        pixels = self.pixels.to(device).contiguous(memory_format=torch.channels_last)
        return Images(pixels, self.targets.to(device), self.files)


def load_images(data: DataSet, split: str, preprocess: Preprocess, cache: ArrayCache | None = None) -> Images:
    """A split's images as a network sees them."""
    rows = data.rows(split)
    key = pixels_key([row.sha256 for row in rows], preprocess)
    pixels = cache.read(key) if cache else None
    if pixels is None or pixels.shape != (len(rows), preprocess.size, preprocess.size, 3):
        pixels = decode_all(data.files(rows), preprocess)
        if cache:
            cache.write(key, pixels)
    planes = torch.from_numpy(pixels.transpose(0, 3, 1, 2).copy())
    return Images(planes, torch.tensor(data.targets(rows), dtype=torch.long), [row.file for row in rows])


def decode_all(files: Sequence[Path], preprocess: Preprocess) -> Pixels:
    """Image files → uint8 `[N, size, size, 3]`, decoded on all cores."""
    pixels = np.zeros((len(files), preprocess.size, preprocess.size, 3), np.uint8)

    def decode(index: int) -> None:
        pixels[index] = preprocess.pixels(files[index].read_bytes(), str(files[index]))

    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        for _ in pool.map(decode, range(len(files))):
            pass
    return pixels


def pixels_key(digests: Sequence[str], preprocess: Preprocess) -> str:
    """Names what some files' pixels are: by the files' own digests, not by where they lie."""
    content = canonical({"files": list(digests), "preprocess": asdict(preprocess)})
    return f"pixels-{hashlib.sha256(content).hexdigest()[:32]}"
