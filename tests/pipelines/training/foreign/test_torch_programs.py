"""A torch.export program becomes ours, of whatever batch it was exported for; one that is no network of data is one line."""

from __future__ import annotations

import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

sys.path.insert(0, str(Path(__file__).parent))
from foreign_world import LABELS, answers_of, bring, expected, program, torch_network

from pipelines.data.dataset import DataSet
from pipelines.training.foreign.options import KNOWN, Options
from registry.errors import InputError, ModelyardError


@pytest.mark.parametrize("batch", [None, 1, 3])
def test_any_batch_becomes_the_same_model(batch: int | None, painted: DataSet, tmp_path: Path) -> None:
    network, spoken = torch_network(KNOWN["imagenet"]), list[str]()
    path = program(tmp_path / "theirs.pt2", network, batch)
    brought = bring(path, painted, tmp_path / "work", Options(labels=tuple(LABELS)), spoken)
    files = painted.files(painted.rows("test"))
    assert np.abs(answers_of(brought, files) - expected(painted, files)).max() < 1e-3
    assert brought.info.framework == ("torch" if batch is None else "onnx")
    assert brought.params["normalise"] == "imagenet"
    assert any("goes through ONNX" in line for line in spoken) == (batch is not None)


def test_a_program_of_half_precision_and_another_order_is_taken(painted: DataSet, tmp_path: Path) -> None:
    class Half(nn.Module):
        def __init__(self, inner: nn.Module) -> None:
            super().__init__()
            self.inner = inner

        def forward(self, images):
            return {"logits": self.inner(images.float())[:, [2, 0, 1]]}

    images = torch.rand(2, 3, 32, 32).half()
    exported = torch.export.export(Half(torch_network()), (images,), dynamic_shapes=({0: torch.export.Dim.DYNAMIC},))
    torch.export.save(exported, tmp_path / "theirs.pt2")
    labels = (LABELS[2], LABELS[0], LABELS[1])
    brought = bring(tmp_path / "theirs.pt2", painted, tmp_path / "work", Options(labels=labels, normalise=KNOWN["0..1"]))
    files = painted.files(painted.rows("test"))
    assert np.abs(answers_of(brought, files) - expected(painted, files)).max() < 0.05


def test_a_program_that_was_exported_while_training_is_refused(painted: DataSet, tmp_path: Path) -> None:
    network = nn.Sequential(nn.Dropout(0.5), nn.Flatten(), nn.Linear(3 * 32 * 32, 3))
    path = program(tmp_path / "theirs.pt2", network.train())
    with pytest.raises(InputError, match=r"answers differently each time; call `\.eval\(\)`"):
        bring(path, painted, tmp_path / "work", Options(labels=tuple(LABELS)))


def test_what_is_no_classifier_of_squares_is_one_line(painted: DataSet, tmp_path: Path) -> None:
    class Two(nn.Module):
        def forward(self, images, more):
            return images.mean((2, 3)) + more

    torch.export.save(torch.export.export(Two(), (torch.rand(2, 3, 32, 32), torch.rand(2, 3))), tmp_path / "two.pt2")
    program(tmp_path / "maps.pt2", nn.Conv2d(3, 3, 3), side=32)
    for name, message in (("two.pt2", "takes 2 inputs"), ("maps.pt2", "outputs and has, by the data set, 3 classes")):
        with pytest.raises(InputError, match=message) as caught:
            bring(tmp_path / name, painted, tmp_path / "work")
        assert "\n" not in str(caught.value)


def test_a_program_that_holds_something_else_is_not_opened(painted: DataSet, tmp_path: Path) -> None:
    path = program(tmp_path / "theirs.pt2", torch_network())
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("theirs/extra/run.py", "print('hello')")
    with pytest.raises(ModelyardError, match="which is not plain data"):
        bring(path, painted, tmp_path / "work")
