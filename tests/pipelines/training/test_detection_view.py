"""What Ultralytics is given of a data set with boxes: read by its own loader, the pictures, boxes and classes are ours."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from pipelines.data.dataset import DataSet, FrameRow
from registry.errors import InputError
from serving.bundle.preprocess import Preprocess

pytest.importorskip("ultralytics", reason="the yolo trainer is an extra")
sys.path.insert(0, str(Path(__file__).parent))
from picture_kinds import KINDS, LABELS, every_kind, fingerprint, with_boxes

pytestmark = pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
WHOLE = Preprocess(size=32, resize="longest side, bilinear", crop="none, padded with grey 114")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> DataSet:
    """Pictures of every kind with boxes of every kind."""
    return with_boxes(every_kind(tmp_path_factory.mktemp("set") / "images of * labels"))


@pytest.fixture(scope="module")
def seen(data: DataSet, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The loader of each split, and the names of the classes; the data set is untouched by all of it."""
    from ultralytics.data.utils import check_det_dataset

    from pipelines.training.trainers.offline import ultralytics
    from pipelines.training.trainers.views import detection_view

    work = tmp_path_factory.mktemp("work")
    ultralytics(work)
    before = fingerprint(data.folder)
    settings = check_det_dataset(str(detection_view(data, work / "data", WHOLE)))
    loaders = {split: _loader(settings, split) for split in ("train", "val")}
    assert fingerprint(data.folder) == before
    return {"names": settings["names"], **loaders}


def _loader(settings: dict[str, Any], split: str) -> Any:
    from ultralytics.cfg import get_cfg
    from ultralytics.data.dataset import YOLODataset

    hyp = get_cfg(overrides={"imgsz": 32, "task": "detect"})
    return YOLODataset(img_path=settings[split], data=settings, imgsz=32, augment=False, rect=False, hyp=hyp)


def expected(row: FrameRow) -> NDArray[np.float32]:
    """Class, middle and sides of each box of a picture, of what lies within it."""
    rows = list[tuple[float, ...]]()
    for box in row.boxes or ():
        left, top, right, bottom = np.clip((box.left, box.top, box.right, box.bottom), 0, 1)
        if right > left and bottom > top:
            rows.append((LABELS.index(box.label), (left + right) / 2, (top + bottom) / 2, right - left, bottom - top))
    return np.unique(np.asarray(rows, np.float32).reshape(-1, 5), axis=0)


@pytest.mark.parametrize("split", ["train", "val"])
def test_every_picture_comes_with_its_boxes_and_none_is_left_out(data: DataSet, seen: dict[str, Any], split: str) -> None:
    rows, labels = data.rows(split), seen[split].labels
    assert [int(Path(label["im_file"]).stem) for label in labels] == list(range(len(rows)))
    for row, label in zip(rows, labels, strict=True):
        boxes = np.hstack([label["cls"], label["bboxes"]])
        assert np.allclose(np.unique(boxes, axis=0), expected(row), rtol=0, atol=1e-7), row.file


@pytest.mark.parametrize("name", KINDS)
def test_ultralytics_decodes_to_our_pixels(data: DataSet, seen: dict[str, Any], name: str) -> None:
    from ultralytics.utils.patches import imread

    number = list(KINDS).index(name)
    for split in ("train", "val"):
        file = data.files(data.rows(split))[number]
        read = imread(seen[split].im_files[number])
        assert np.array_equal(read[..., ::-1], WHOLE.open(file.read_bytes(), name))
        height, width = seen[split].labels[number]["shape"]
        assert (width, height) == (read.shape[1], read.shape[0])


def test_classes_are_numbers_that_are_no_names_of_imagenet(seen: dict[str, Any]) -> None:
    assert seen["names"] == {index: f"{index:02d}" for index in range(len(LABELS))}


def test_a_set_of_the_other_task_is_refused_by_name(data: DataSet, tmp_path: Path) -> None:
    from pipelines.training.trainers.views import classification_view, detection_view

    with pytest.raises(InputError, match=r"images of .*detector's data set"):
        classification_view(data, tmp_path / "view", WHOLE)
    plain = DataSet(data.folder, data.manifest.model_copy(update={"task": "classify"}))
    with pytest.raises(InputError, match=r"images of .*has no boxes"):
        detection_view(plain, tmp_path / "view", WHOLE)
    assert not (tmp_path / "view").exists()


@pytest.mark.journey
@pytest.mark.long
def test_a_detector_trains_on_it_and_touches_no_file_of_the_data_set(data: DataSet, tmp_path: Path) -> None:
    from pipelines.training.trainers.offline import ultralytics
    from pipelines.training.trainers.views import detection_view

    before = fingerprint(data.folder)
    model = ultralytics(tmp_path / "work")("yolov8n.yaml", task="detect", verbose=False)
    view = detection_view(data, tmp_path / "work" / "data", WHOLE)
    options = {"device": "cpu", "workers": 0, "amp": False, "plots": False, "pretrained": False, "verbose": False}
    model.train(data=str(view), epochs=1, imgsz=32, batch=16, project=str(tmp_path / "runs"), **options)
    assert fingerprint(data.folder) == before
    assert len(model.names) == len(LABELS)
