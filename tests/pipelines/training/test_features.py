"""A head on a frozen backbone: it learns, it is the network that is registered, and what the backbone saw is kept."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from pipelines.training.trainers.cache import ArrayCache
from pipelines.training.trainers.images import Images
from pipelines.training.trainers.torch_features import train_head, views_of


class Backbone(nn.Module):
    """Mean colours, counted."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.head, self.looked_at = nn.Linear(3, classes), 0

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        self.looked_at += len(images)
        return self.head(images.mean((2, 3)))


def coloured(count: int, classes: int, seed: int) -> Images:
    targets = torch.arange(count) % classes
    pixels = torch.randint(0, 60, (count, 3, 8, 8), generator=torch.Generator().manual_seed(seed))
    pixels += 120 * nn.functional.one_hot(targets, 3)[:, :, None, None]
    return Images(pixels.to(torch.uint8), targets)


@pytest.mark.parametrize("classes", [2, 3])
def test_a_new_head_is_learnt_and_the_network_answers_with_it(classes: int) -> None:
    network, test = Backbone(classes), coloured(30, classes, 9)
    frozen = train_head(network, "it", coloured(12, classes, 1), coloured(6, classes, 2), (0, 0.0), (None, ""))
    assert frozen.top1 == 1.0
    assert frozen.history
    answers = frozen.network(test.pixels.float() / 255).argmax(1)
    assert (answers == test.targets).all()
    shuffled = frozen.network(test.pixels.roll(1, 1).float() / 255).argmax(1)
    assert not (shuffled == test.targets).all(), "a wrong picture gets a wrong answer"


def test_a_class_without_a_training_image_is_never_the_answer() -> None:
    train = coloured(12, 2, 1)
    frozen = train_head(Backbone(3), "it", train, coloured(6, 2, 2), (0, 0.0), (None, ""))
    assert set(frozen.network(torch.rand(40, 3, 8, 8)).argmax(1).tolist()) <= {0, 1}


def test_what_the_backbone_saw_is_kept_and_a_damaged_file_is_made_again(tmp_path: Path) -> None:
    cache = ArrayCache(tmp_path)

    def looked_at() -> int:
        network = Backbone(2)
        train_head(network, "it", coloured(12, 2, 1), coloured(6, 2, 2), (0, 0.0), (cache, "key"))
        return network.looked_at

    first = looked_at()
    assert first == 12 * (views_of(12) + 1) + 6
    assert looked_at() == 0
    for file in tmp_path.iterdir():
        file.write_bytes(b"x")
    assert looked_at() == first


def test_the_cache_is_bounded_and_keeps_what_was_used_last(tmp_path: Path) -> None:
    cache = ArrayCache(tmp_path, most_bytes=3000)
    for name in "abcd":
        cache.write(name, np.zeros(100, np.float64))
    assert sum(file.stat().st_size for file in tmp_path.iterdir()) <= 3000
    assert cache.read("d") is not None
    assert cache.read("a") is None
    cache.write("huge", np.zeros(1000, np.float64))
    assert cache.read("huge") is None
