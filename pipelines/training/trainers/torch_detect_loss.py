"""Which cells answer for which box, and how wrong they are.

A cell answers for a box by task alignment (Feng et al. 2021, TOOD): by how sure it is of the class and how well its own box
overlaps. The scores that it is taught are these alignments, so that a high score means a well-placed box.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional
from torchvision.ops import complete_box_iou_loss

_CELLS = 10
"""At most so many cells answer for a box."""
_SURE, _PLACED = 0.5, 6.0
"""Exponents of the score and of the overlap."""
_WEIGHT_OF_BOXES, _WEIGHT_OF_CLASSES = 7.5, 0.5
_LEAST = 1e-9
_AT_ONCE = 8_000_000
"""Pairs of a box and a cell that are compared at once, of which each takes some 50 bytes."""


class Targets(NamedTuple):
    """A batch's boxes, padded: corners `[N, M, 4]` in pixels, classes `[N, M]`, and which are real `[N, M]`."""

    corners: Tensor
    kinds: Tensor
    real: Tensor


def detection_loss(logits: Tensor, corners: Tensor, centres: Tensor, targets: Targets) -> Tensor:
    """One number. `logits` `[N, cells, classes]`, `corners` `[N, cells, 4]` as they are predicted, `centres` `[cells, 2]`."""
    owner, quality = assign(logits.detach().sigmoid(), corners.detach(), centres, targets)
    answers = quality > 0
    wanted = torch.zeros_like(logits)
    if answers.any():
        kinds = targets.kinds.gather(1, owner)
        wanted.scatter_(2, kinds[..., None], quality[..., None])
    total = quality.sum().clamp(min=1.0)
    classes = functional.binary_cross_entropy_with_logits(logits, wanted, reduction="sum") / total
    truth = targets.corners.gather(1, owner[..., None].expand(-1, -1, 4)) if targets.corners.shape[1] else corners.detach()
    boxes = (complete_box_iou_loss(corners[answers], truth[answers], reduction="none") * quality[answers]).sum() / total
    return _WEIGHT_OF_CLASSES * classes + _WEIGHT_OF_BOXES * boxes


def assign(scores: Tensor, corners: Tensor, centres: Tensor, targets: Targets) -> tuple[Tensor, Tensor]:
    """For each cell the index of its box and the score to learn, both `[N, cells]`; a score of 0 is background."""
    images, cells = scores.shape[:2]
    most = targets.corners.shape[1]
    if not most:
        return torch.zeros((images, cells), dtype=torch.long, device=scores.device), scores.new_zeros((images, cells))
    together = max(1, _AT_ONCE // (most * cells))
    if images > together:
        parts = [slice(start, start + together) for start in range(0, images, together)]
        answers = [assign(scores[at], corners[at], centres, Targets(*(rows[at] for rows in targets))) for at in parts]
        return torch.cat([owner for owner, _ in answers]), torch.cat([quality for _, quality in answers])
    inside = _inside(centres, targets)
    overlaps = _overlaps(targets.corners, corners).clamp(min=0)
    sure = scores.transpose(1, 2).gather(1, targets.kinds[..., None].expand(-1, -1, cells))
    aligned = (sure**_SURE * overlaps**_PLACED + _LEAST * overlaps + _LEAST**2) * inside
    best = aligned.topk(min(_CELLS, cells), dim=2).indices
    chosen = torch.zeros_like(inside).scatter_(2, best, value=True) & inside
    owner = torch.where(chosen, overlaps + _LEAST, -1.0).max(1).indices
    chosen &= torch.arange(most, device=scores.device)[None, :, None] == owner[:, None]
    aligned, overlaps = aligned * chosen, overlaps * chosen
    highest = aligned.amax(2, keepdim=True).clamp(min=_LEAST**2)
    quality = aligned / highest * overlaps.amax(2, keepdim=True)
    return owner, quality.amax(1)


def _inside(centres: Tensor, targets: Targets) -> Tensor:
    """Which cells lie in which box, `[N, M, cells]`; a box too small to hold any has the cell nearest to its middle."""
    low, high = targets.corners[..., None, :2], targets.corners[..., None, 2:]
    inside = ((centres > low) & (centres < high)).all(3)
    nearest = (centres - (low + high) / 2).square().sum(3).argmin(2, keepdim=True)
    alone = torch.zeros_like(inside).scatter_(2, nearest, value=True)
    return (inside | (alone & ~inside.any(2, keepdim=True))) & targets.real[..., None]


def _overlaps(first: Tensor, second: Tensor) -> Tensor:
    """Intersection over union of `[N, M, 4]` and `[N, cells, 4]` → `[N, M, cells]`."""
    low = torch.maximum(first[:, :, None, :2], second[:, None, :, :2])
    high = torch.minimum(first[:, :, None, 2:], second[:, None, :, 2:])
    both = (high - low).clamp(min=0).prod(3)
    areas = [(boxes[..., 2:] - boxes[..., :2]).clamp(min=0).prod(2) for boxes in (first, second)]
    return both / (areas[0][:, :, None] + areas[1][:, None, :] - both).clamp(min=1e-6)
