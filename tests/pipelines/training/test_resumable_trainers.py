"""Each trainer goes on from the end of its last epoch, and stops at a loss that is no number, naming the step and the files."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).parents[2]))
from detector import draw_set

from pipelines.data.build import build_dataset
from pipelines.data.dataset import DataSet
from pipelines.job.jobfile import Data
from pipelines.job.tasks import is_detector
from pipelines.job.trainers import KerasTrainer, TorchTrainer, TrainerConfig, YoloTrainer
from pipelines.training.trainers import torch_detect_loop, yolo, yolo_detect
from pipelines.training.trainers.build import build_trainer
from pipelines.training.trainers.contract import Watch
from pipelines.training.trainers.yolo_state import YoloState, whole_batch
from registry.errors import InputError, IntegrityError, ModelyardError
from registry.settings import Settings

TRAINERS: dict[str, TrainerConfig] = {
    "torch": TorchTrainer(epochs=3, imgsz=32, batch=16, arch="small_cnn", weights="scratch"),
    "yolo": YoloTrainer(epochs=3, imgsz=32, batch=16),
    "keras": KerasTrainer(epochs=3, imgsz=32, batch=16),
    "torch detector": TorchTrainer(epochs=3, imgsz=64, batch=16, arch="small_detector"),
    "yolo detector": YoloTrainer(epochs=3, imgsz=64, batch=16, arch="yolov8n"),
}


@pytest.fixture(scope="module")
def boxes(tmp_path_factory: pytest.TempPathFactory) -> DataSet:
    """Drawn shapes with their boxes."""
    folder = tmp_path_factory.mktemp("boxes")
    source = draw_set(folder / "shapes", folder / "drawn", (24, 6, 6), (96, 80))
    return build_dataset(Data(images=source), folder / "set", lambda *_: None)


@pytest.fixture
def fitting(kind: str, dataset: DataSet, boxes: DataSet) -> DataSet:
    """The data set that a trainer learns from."""
    return boxes if is_detector(TRAINERS[kind]) else dataset


class KilledError(Exception):
    """Stands for a process that ends while it reports an epoch."""


def fit(config: TrainerConfig, data: DataSet, work: Path, checkpoints: Path, last: int = 99) -> list[int]:
    """Train until the end, or until an epoch is reported; the epochs that were."""
    epochs = list[int]()

    def on_epoch(epoch: int, _: object) -> None:
        epochs.append(epoch)
        if epoch == last:
            raise KilledError

    work.mkdir(parents=True)
    trainer = build_trainer(config, Settings().tf_python)
    try:
        fitted = trainer.fit(data, work, Watch(on_epoch, checkpoints=checkpoints))
        assert (fitted.folder / "MLmodel").is_file()
    except KilledError:
        assert epochs[-1] == last
    return epochs


@pytest.mark.parametrize("kind", TRAINERS)
def test_a_trainer_goes_on_after_the_last_epoch_that_it_kept(kind: str, fitting: DataSet, tmp_path: Path) -> None:
    if kind == "keras" and not Settings().tf_python.exists():
        pytest.skip("the TensorFlow world is not installed here")
    config, checkpoints = TRAINERS[kind], tmp_path / "checkpoints"
    checkpoints.mkdir()
    first = fit(config, fitting, tmp_path / "first", checkpoints, last=2)
    assert any(checkpoints.rglob("*")), "nothing is kept to go on from"
    second = fit(config, fitting, tmp_path / "second", checkpoints)
    assert second[-1] == 3
    assert second[0] > 1, "it began anew"
    assert sorted({*first, *second}) == [1, 2, 3], "no epoch is missing"
    third = fit(config, fitting, tmp_path / "third", checkpoints)
    assert set(third) <= {3}, "what was trained whole is not trained again"


class Poisoned(YoloState):
    """A state whose network has a weight that is no number: Ultralytics takes no learning rate above 1."""

    def _start(self, trainer: Any) -> None:
        super()._start(trainer)
        next(trainer.model.parameters()).data.fill_(float("nan"))


@pytest.mark.parametrize("kind", [kind if kind != "keras" else pytest.param(kind, marks=pytest.mark.soak) for kind in TRAINERS])
def test_a_loss_that_is_no_number_stops_and_names_step_and_files(
    kind: str, fitting: DataSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if kind == "keras" and not Settings().tf_python.exists():
        pytest.skip("the TensorFlow world is not installed here")
    config = TRAINERS[kind].model_copy(update={"lr0": 1.0 if kind.startswith("yolo") else 1e30})
    for adapter in (yolo, yolo_detect):
        monkeypatch.setattr(adapter, "YoloState", Poisoned)
    with pytest.raises(ModelyardError, match=r"^training step \d+: the loss is (nan|inf|-inf)") as caught:
        fit(config, fitting, tmp_path / "work", tmp_path / "checkpoints")
    named = caught.value.expectation.partition("its batch was ")[2].partition(" and ")[0].split(", ")
    train = {row.file for row in fitting.rows("train")}
    assert len(named) == 5
    assert {name for name in named if not any(name.endswith(file) for file in train)} == set()


@pytest.mark.parametrize("kind", ["torch detector", "yolo detector"])
def test_a_detector_that_runs_out_of_memory_goes_on_with_half_the_batch_and_says_so(
    kind: str, fitting: DataSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ultralytics.nn.tasks import DetectionModel

    ours, theirs = torch_detect_loop.detection_loss, DetectionModel.loss

    def small(logits: torch.Tensor, *given: Any) -> torch.Tensor:
        if len(logits) > 8:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return ours(logits, *given)

    def few(model: Any, batch: dict[str, Any], preds: Any = None) -> Any:
        if model.training and len(batch["img"]) > 8:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return theirs(model, batch, preds)

    monkeypatch.setattr(torch_detect_loop, "detection_loss", small)
    monkeypatch.setattr(DetectionModel, "loss", few)
    lines, epochs = list[str](), list[int]()
    (tmp_path / "work").mkdir()
    watch = Watch(lambda epoch, _: epochs.append(epoch), lines.append, checkpoints=tmp_path)
    build_trainer(TRAINERS[kind], Settings().tf_python).fit(fitting, tmp_path / "work", watch)
    assert "out of memory with a batch of 16: training goes on with 8" in lines
    assert epochs == [1, 2, 3]


@given(images=st.integers(2, 70), batch=st.integers(2, 64))
def test_no_picture_is_left_alone_in_a_last_batch_of_small_pictures(images: int, batch: int) -> None:
    chosen = whole_batch(images, batch, 32)
    assert images % min(chosen, images) != 1
    assert chosen == batch or images % min(batch, images) == 1
    assert whole_batch(images, batch, 64) == batch
    with pytest.raises(InputError, match="set `imgsz: 64`"):
        whole_batch(1, batch, 32)


def test_a_damaged_state_or_one_that_holds_code_is_refused(tmp_path: Path) -> None:
    (tmp_path / "state.pt").write_bytes(b"cut")
    with pytest.raises(IntegrityError, match=r"state\.pt: is damaged .*; train anew"):
        YoloState(tmp_path, [])
    (tmp_path / "state.pt").unlink()
    (tmp_path / "best.pt").write_bytes(b"cos\nsystem\n(S'true'\ntR.")
    with pytest.raises(IntegrityError, match="holds code that runs when it is opened"):
        YoloState(tmp_path, []).best()
