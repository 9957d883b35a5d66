"""A data set is after any training what it was before: every byte, time, link and name, of every kind of picture."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from pipelines.data.dataset import DataSet
from pipelines.job.trainers import KerasTrainer, TorchTrainer, YoloTrainer
from pipelines.training.trainers.build import build_trainer
from pipelines.training.trainers.contract import Watch
from registry.settings import Settings
from serving.bundle.modelinfo import read_info

sys.path.insert(0, str(Path(__file__).parent))
from picture_kinds import LABELS, every_kind, fingerprint

pytestmark = [pytest.mark.journey, pytest.mark.long, pytest.mark.filterwarnings("ignore:Corrupt EXIF data")]
SMALL = {"epochs": 2, "imgsz": 32, "batch": 32}


@pytest.fixture
def data(tmp_path: Path) -> DataSet:
    """In a folder whose name is a pattern, and linked to once more, as the versions of a data set are."""
    data = every_kind(tmp_path / "home" / "a *, [0-9] #1 train val images .cache")
    other = tmp_path / "home" / "by-digest"
    other.mkdir()
    for number, file in enumerate(data.files(data.manifest.frames)):
        (other / str(number)).hardlink_to(file)
    return data


@pytest.mark.parametrize(
    "config",
    [
        YoloTrainer(**SMALL),
        YoloTrainer(**SMALL, decode="reduced"),
        TorchTrainer(**SMALL),
        KerasTrainer(**SMALL),
    ],
    ids=lambda config: f"{config.kind}, {config.decode}",
)
def test_a_training_touches_no_file_of_the_data_set_and_keeps_the_order_of_the_classes(
    config: YoloTrainer | TorchTrainer | KerasTrainer, data: DataSet, tmp_path: Path
) -> None:
    before, epochs = fingerprint(tmp_path / "home"), list[int]()
    work = tmp_path / "work"
    work.mkdir()
    fitted = build_trainer(config, Settings().tf_python).fit(data, work, Watch(lambda epoch, _: epochs.append(epoch)))
    assert fingerprint(tmp_path / "home") == before
    assert epochs == [1, 2]
    assert read_info(fitted.folder, "it").labels == LABELS
    if config.kind == "yolo":
        from pipelines.training.trainers.checkpoint import open_checkpoint

        kept = open_checkpoint(fitted.extras / "best.pt", work)
        assert list(kept.names.values()) == LABELS, "who takes the checkpoint elsewhere finds the classes' own names"


def test_a_checkpoint_that_is_registered_is_compared_on_copies(data: DataSet, tmp_path: Path) -> None:
    from pipelines.training.trainers.checkpoint import compare_with_ultralytics, describe, package_checkpoint
    from pipelines.training.trainers.offline import ultralytics
    from serving.export.reference import Reference

    before = fingerprint(tmp_path / "home")
    model = ultralytics(tmp_path / "work")("yolov8n-cls.yaml", task="classify", verbose=False)
    model.model.names = dict(enumerate(["a", "b"]))
    info = describe(model, "yolov8n-cls", 32, "d")
    package_checkpoint(model, tmp_path / "model", info)
    files = data.files(data.rows("val"))
    for part in (files[:40], files[40:]):
        compare_with_ultralytics(model, Reference(tmp_path / "model", info, Path()), part)
    assert fingerprint(tmp_path / "home") == before
