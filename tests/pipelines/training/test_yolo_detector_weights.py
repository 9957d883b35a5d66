"""A YOLO detector begins from the weights that it was given, of the architecture that the job names."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch

pytest.importorskip("ultralytics", reason="the yolo trainer is an extra")
sys.path.insert(0, str(Path(__file__).parents[2]))
from detector import draw_set

from pipelines.data.build import build_dataset
from pipelines.job.jobfile import Data
from pipelines.job.trainers import YoloTrainer
from pipelines.training.trainers.contract import Watch
from pipelines.training.trainers.offline import ultralytics
from pipelines.training.trainers.yolo_detect import YoloDetectAdapter
from registry.errors import InputError

_MARK = 0.125
"""What no network's first layer is filled with by itself."""


def given_weights(folder: Path) -> Path:
    """A checkpoint of a network that was not trained, whose first layer is filled with one number."""
    model = ultralytics(folder / "ultralytics")("yolov8n.yaml", task="detect", verbose=False)
    with torch.no_grad():
        model.model.model[0].conv.weight.fill_(_MARK)
    model.save(folder / "given.pt")
    return folder / "given.pt"


def test_training_begins_from_the_weights_that_are_given(tmp_path: Path) -> None:
    """As COCO's, they know other classes: their head is not taken over."""
    source = draw_set(tmp_path / "shapes", tmp_path / "drawn", (4, 2, 2), (64, 48))
    data = build_dataset(Data(images=source), tmp_path / "set", lambda *_: None)
    weights, work = given_weights(tmp_path), tmp_path / "work"
    work.mkdir()
    config = YoloTrainer(arch="yolov8n", weights=str(weights), epochs=1, imgsz=32, batch=4, lr0=1e-6)
    fitted = YoloDetectAdapter(config).fit(data, work, Watch())
    assert fitted.extras
    assert fitted.name == "yolo yolov8n 32 fine-tuned"
    first = ultralytics(work)(fitted.extras / "best.pt", task="detect").model.model[0].conv.weight
    assert torch.allclose(first.float(), torch.full_like(first, _MARK).float(), atol=0.02)


def test_weights_of_another_architecture_are_refused_before_anything_is_trained(tmp_path: Path) -> None:
    (tmp_path / "work").mkdir()
    weights = given_weights(tmp_path)
    adapter = YoloDetectAdapter(YoloTrainer(arch="yolov8s", weights=str(weights)))
    with pytest.raises(InputError, match=r"given\.pt: fits \d+ of the \d+ tensors of the network; .* correct `arch:`"):
        adapter._begin(tmp_path / "work")
