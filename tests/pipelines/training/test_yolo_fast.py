"""What a YOLO classifier's `loop: fast` begins from: the same weights for the same seed, drawn so that training takes off."""

from __future__ import annotations

import math
import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from pipelines.job.trainers import YoloTrainer
from pipelines.training.trainers.contract import Watch
from pipelines.training.trainers.torch_loop import Loop
from pipelines.training.trainers.yolo import YoloAdapter

pytest.importorskip("ultralytics", reason="the yolo trainer is an extra")
sys.path.insert(0, str(Path(__file__).parent))
from picture_kinds import every_kind

pytestmark = pytest.mark.filterwarnings("ignore:Corrupt EXIF data")


class BegunError(Exception):
    """Training would begin now."""


@pytest.fixture
def first_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The convolutions' weights before the first step, by seed and turn."""
    data = every_kind(tmp_path / "set")
    begun = list[dict[str, Tensor]]()

    def stop(loop: Loop, *_: object) -> None:
        network: nn.Module = loop._network
        begun.append({name: value.clone() for name, value in network.state_dict().items()})
        raise BegunError

    monkeypatch.setattr(Loop, "train", stop)

    def weights(seed: int, turn: int) -> dict[str, Tensor]:
        work = tmp_path / f"work{seed}{turn}"
        work.mkdir()
        torch.rand(turn)  # what this process drew before is none of its business
        with pytest.raises(BegunError):
            YoloAdapter(YoloTrainer(epochs=1, loop="fast", seed=seed)).fit(data, work, Watch())
        return begun[-1]

    return weights


def test_the_same_seed_begins_from_the_same_weights_whatever_was_drawn_before(first_weights) -> None:
    first, again, other = first_weights(3, 0), first_weights(3, 7), first_weights(4, 0)
    assert all(torch.equal(value, again[name]) for name, value in first.items())
    assert any(not torch.equal(value, other[name]) for name, value in first.items())


def test_convolutions_are_drawn_as_torchvision_draws_them(first_weights) -> None:
    weights = first_weights(0, 0)
    large = {name: value for name, value in weights.items() if value.ndim == 4 and value.numel() > 10_000}
    assert len(large) > 10
    for name, value in large.items():
        wanted = math.sqrt(2 / (value.shape[0] * value.shape[2] * value.shape[3]))
        assert value.std().item() == pytest.approx(wanted, rel=0.05), name
