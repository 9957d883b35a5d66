"""What Ultralytics is shown: copies under names that mean nothing to it, and never the files themselves."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipelines.data.build import build_dataset
from pipelines.data.dataset import DataSet
from pipelines.job.jobfile import Data
from registry.digests import manifest_of
from serving.bundle.preprocess import Preprocess, decode

pytest.importorskip("ultralytics", reason="the yolo trainer is an extra")
NAMES = ["n01440764", "n02102040", "$1_$2", "it's", "👩‍👩‍👧", "שלום", "a" * 200, "10", "2", "~", "None", "CON"]


def quiet(*_: object) -> None:
    return


@pytest.fixture
def data(tmp_path: Path) -> DataSet:
    """Five small JPEGs of each class; some have bytes behind their end, as phones write them."""
    random = np.random.default_rng(0)
    for number, name in enumerate(NAMES):
        for picture in range(5):
            path = tmp_path / "pictures" / name / f"{picture}.jpg"
            path.parent.mkdir(parents=True, exist_ok=True)
            pixels = np.full((48, 48, 3), 20 * number, np.uint8) + random.integers(0, 20, (48, 48, 3), np.uint8)
            Image.fromarray(pixels).save(path, "JPEG")
            if picture % 2:
                path.write_bytes(path.read_bytes() + b"trailer of a phone")
    return build_dataset(Data(images=tmp_path / "pictures"), tmp_path / "data", quiet)


@pytest.mark.parametrize("how", ["full", "reduced"])
def test_classes_are_numbers_in_the_order_of_the_labels_and_pixels_are_ours(data: DataSet, how: str, tmp_path: Path) -> None:
    from pipelines.training.trainers.yolo import _view

    preprocess = Preprocess(size=32, decode=how)
    seen = _view(data, tmp_path / "view", preprocess)
    assert sorted(path.name for path in seen.iterdir()) == ["train", "val"]
    for split in ("train", "val"):
        classes = sorted(path.name for path in (seen / split).iterdir())
        assert classes == [f"{index:02d}" for index in range(len(NAMES))]
        copies = sorted((seen / split).rglob("*.*"), key=lambda path: path.name)
        rows = data.rows(split)
        assert [int(copy.parent.name) for copy in copies] == data.targets(rows)
        for copy, file in zip(copies, data.files(rows), strict=True):
            assert not copy.is_symlink()
            assert copy.stat().st_ino != file.stat().st_ino
            assert np.array_equal(decode(copy.read_bytes()), preprocess.open(file.read_bytes()))


@pytest.mark.journey
@pytest.mark.alone
def test_yolo_trains_on_classes_of_any_name_and_touches_no_file_of_the_users(data: DataSet, tmp_path: Path) -> None:
    from pipelines.job.trainers import YoloTrainer
    from pipelines.training.trainers.checkpoint import open_checkpoint
    from pipelines.training.trainers.yolo import YoloAdapter
    from serving.bundle.modelinfo import read_info

    before, epochs = manifest_of(tmp_path / "pictures") | manifest_of(data.folder), list[int]()
    fitted = YoloAdapter(YoloTrainer(epochs=2, imgsz=32, batch=8)).fit(
        data, tmp_path / "work", lambda epoch, _: epochs.append(epoch)
    )
    assert manifest_of(tmp_path / "pictures") | manifest_of(data.folder) == before
    assert epochs == [1, 2]
    assert read_info(fitted.folder, "it").labels == sorted(NAMES)
    kept = open_checkpoint(fitted.extras / "best.pt", tmp_path / "work")
    assert list(kept.names.values()) == sorted(NAMES), "who takes the checkpoint elsewhere finds the classes' own names"
