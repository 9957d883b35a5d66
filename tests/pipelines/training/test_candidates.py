"""Of several ways to train, the cheap ones come first, val decides, and what val cannot tell apart any more is not tried."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from torch import nn

from pipelines.data.dataset import DataSet, FrameRow, Manifest
from pipelines.job.jobfile import Split
from pipelines.job.trainers import TorchTrainer
from pipelines.training.trainers import torch as adapter
from pipelines.training.trainers.contract import Watch
from pipelines.training.trainers.torch_loop import Outcome
from pipelines.training.trainers.torch_networks import Design
from pipelines.training.trainers.torch_trial import Candidate, Trial


def pictures(val: int) -> DataSet:
    digest = "0" * 64
    about = {"sha256": digest, "clip": "a", "clip_sha256": digest, "label": "cup", "width": 1, "height": 1}
    rows = [
        FrameRow.model_validate({"file": f"{split}/{index}.jpg", "split": split, **about})
        for split, count in (("train", 20), ("val", val))
        for index in range(count)
    ]
    return DataSet(Path(), Manifest(labels=["box", "cup"], source="images", split=Split(), frames=rows))


@pytest.mark.parametrize(
    ("top1", "loss", "val", "tried"),
    [
        (1.0, 0.01, 20, ["frozen"]),
        (1.0, 0.3, 20, ["frozen", "scratch"]),
        (0.95, 0.01, 20, ["frozen", "scratch"]),
        (1.0, 0.01, 4, ["frozen", "scratch"]),
        (0.0, 0.0, 0, ["frozen", "scratch"]),
    ],
)
def test_a_slower_way_is_tried_unless_val_is_answered_without_mistake_or_doubt(
    top1: float, loss: float, val: int, tried: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    ran, lines = list[str](), list[str]()

    class Trials:
        def __init__(self, *_: Any) -> None:
            """Trains nothing."""

        def run(self, way: Candidate, offset: int) -> tuple[Trial, int]:
            ran.append(way.name)
            scores = (loss, top1) if way.frozen else (0.5, 0.97)
            outcome = Outcome(*scores, 1, "")
            return Trial(way, Design(nn.Identity(), way.arch, way.weights, 64), nn.Identity(), outcome), offset + 1

    monkeypatch.setattr(adapter, "Trials", Trials)
    best = adapter.TorchAdapter(TorchTrainer())._best(pictures(val), Watch(say=lines.append))
    assert ran == tried
    assert best.candidate.frozen == (top1 == 1.0)
    assert any("nothing slower is tried" in line for line in lines) == (tried == ["frozen"])
    assert any("which val prefers" in line for line in lines) == (tried != ["frozen"])
