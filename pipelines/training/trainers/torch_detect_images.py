"""A split's pictures and boxes in memory, and the random views of them that a detector is trained on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from pipelines.data.dataset import DataSet, FrameRow
from pipelines.evaluation.boxes import Boxes
from pipelines.evaluation.detect import held_out_boxes
from pipelines.training.trainers.torch_detect_loss import Targets
from serving.bundle.preprocess import Preprocess, stack_pixels

_GREY = 114 / 255
_SIDES = (96, 128, 160, 192, 224, 256, 320, 384, 448, 512, 640)
_LARGE_ENOUGH = 18
"""Pixels of a box's longer side, which is two cells of the finest grid."""
_SMALL_BOXES = 0.1
_LEFT = 0.25
"""The share of a box that is still in view for it to be learnt."""


@dataclass(frozen=True)
class BoxImages:
    """A split in memory: uint8 `[N, 3, S, S]`, and each picture's boxes `[M, 5]` in the input's pixels with their class."""

    pixels: Tensor
    boxes: list[Tensor]
    files: list[str]
    clips: list[str]

    def batches(self, size: int, order: Tensor) -> Iterator[list[int]]:
        """Positions in the given order; a last batch of one is left out, batch normalisation cannot use it.

        A single picture is taken twice: its views differ.
        """
        for part in (order if len(order) > 1 else order.repeat(2)).split(size):
            if len(part) > 1:
                yield part.tolist()


def load_boxes(data: DataSet, split: str, preprocess: Preprocess) -> BoxImages:
    """Decode a split, and place its boxes where the letterbox places the picture."""
    rows = data.rows(split)
    pixels = stack_pixels(preprocess, data.files(rows))
    truth = held_out_boxes(data, rows, 0.0, {}).truth
    placed = [torch.from_numpy(_placed(boxes, row, preprocess.size)) for boxes, row in zip(truth, rows, strict=True)]
    planes = torch.from_numpy(pixels.transpose(0, 3, 1, 2).copy())
    return BoxImages(planes, placed, [row.file for row in rows], [row.clip for row in rows])


def _placed(boxes: Boxes, row: FrameRow, size: int) -> Boxes:
    """Boxes of a picture in the letterbox's pixels, as `serving.bundle.preprocess.letterbox` places them."""
    ratio = min(size / row.height, size / row.width)
    left, top = (round((size - max(round(side * ratio), 1)) / 2 - 0.1) for side in (row.width, row.height))
    moved = boxes.copy()
    moved[:, :4] = moved[:, :4] * ratio + np.asarray([left, top, left, top], np.float32)
    return moved


def fitting_size(data: DataSet) -> int:
    """The smallest square in which nine boxes of ten are large enough to be seen, and not above the pictures' own side."""
    rows = data.rows("train")
    longest = [max(row.width, row.height) for row in rows]
    shares = [
        max((box.right - box.left) * row.width, (box.bottom - box.top) * row.height) / side
        for row, side in zip(rows, longest, strict=True)
        for box in row.boxes or ()
    ]
    small = float(np.quantile(shares, _SMALL_BOXES)) if shares else 1.0
    wanted = min(_LARGE_ENOUGH / max(small, 1e-6), max(longest, default=_SIDES[0]))
    return next((side for side in _SIDES if side >= wanted), _SIDES[-1])


def targets_of(boxes: Sequence[Tensor]) -> Targets:
    """A batch's boxes, padded."""
    most = max((len(rows) for rows in boxes), default=0)
    padded, real = torch.zeros(len(boxes), most, 5), torch.zeros(len(boxes), most, dtype=torch.bool)
    for index, rows in enumerate(boxes):
        padded[index, : len(rows)], real[index, : len(rows)] = rows, True
    return Targets(padded[..., :4], padded[..., 4].long(), real)


def augment(pixels: Tensor, boxes: Sequence[Tensor], mirrored: float = 0.0) -> tuple[Tensor, list[Tensor]]:
    """Each picture `[N, 3, S, S]` in 0..1 scaled, moved and lit a little differently, and its boxes with it.

    `mirrored`: how often it is mirrored. What comes in from outside is the letterbox's grey; a box mostly outside is none.
    """
    count, size = len(pixels), pixels.shape[-1]
    scale = torch.empty(count).uniform_(0.6, 1.5)
    turn = torch.where(torch.rand(count) < mirrored, -1.0, 1.0)
    shift = torch.empty(count, 2).uniform_(-0.2, 0.2)
    matrix = torch.zeros(count, 2, 3)
    matrix[:, 0, 0], matrix[:, 1, 1], matrix[:, :, 2] = turn / scale, 1 / scale, shift
    grid = functional.affine_grid(matrix, list(pixels.shape), align_corners=False)
    moved = functional.grid_sample(pixels - _GREY, grid, padding_mode="zeros", align_corners=False) + _GREY
    gain, lift = torch.empty(count, 3, 1, 1).uniform_(0.75, 1.25), torch.empty(count, 3, 1, 1).uniform_(-0.1, 0.1)
    views = [_moved(rows, matrix[index], size) for index, rows in enumerate(boxes)]
    return (moved * gain + lift).clamp(0, 1), views


def _moved(boxes: Tensor, matrix: Tensor, size: int) -> Tensor:
    """Boxes where an affine view shows them; `matrix` leads from the view's coordinates (-1..1) to the picture's."""
    if not len(boxes):
        return boxes
    scale, shift = torch.stack([matrix[0, 0], matrix[1, 1]]), matrix[:, 2]
    points = ((boxes[:, :4].reshape(-1, 2, 2) * 2 / size - 1 - shift) / scale + 1) * size / 2
    low, high = points.amin(1), points.amax(1)
    whole = (high - low).prod(1)
    low, high = low.clamp(0, size), high.clamp(0, size)
    kept = (high - low).prod(1) >= _LEFT * whole
    return torch.cat([low, high, boxes[:, 4:]], 1)[kept]
