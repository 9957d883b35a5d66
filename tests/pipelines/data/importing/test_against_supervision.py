"""On sound files a well-kept library reads the boxes that we read; what it does with others is why we read them ourselves."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))
from folders_of_formats import HEIGHT, WIDTH, coco_roboflow, voc_roboflow, yolo

from pipelines.data.importing.open import open_pictures

supervision = pytest.importorskip("supervision")


def ours(root: Path) -> dict[str, list[tuple[str, list[float]]]]:
    """Picture's name → label and box in pixels."""
    boxes = {}
    for entry in open_pictures(root).layout.entries:
        placed = entry.placed(WIDTH, HEIGHT) or ()
        sides = [[box.left * WIDTH, box.top * HEIGHT, box.right * WIDTH, box.bottom * HEIGHT] for box in placed]
        boxes[entry.file.name] = [(box.label, side) for box, side in zip(placed, sides, strict=True)]
    return boxes


def theirs(root: Path, name: str, split: str) -> dict[str, list[tuple[str, list[float]]]]:
    folder = str(root / split)
    if name == "yolo":
        data = supervision.DetectionDataset.from_yolo(
            str(root / "images" / split), str(root / "labels" / split), str(root / "data.yaml")
        )
    elif name == "coco":
        data = supervision.DetectionDataset.from_coco(folder, f"{folder}/_annotations.coco.json")
    else:
        data = supervision.DetectionDataset.from_pascal_voc(folder, folder)
    return {
        Path(path).name: [
            (data.classes[index], box.tolist()) for index, box in zip(detections.class_id, detections.xyxy, strict=True)
        ]
        for path, _, detections in data
    }


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("name", "write", "shift"), [("yolo", yolo, 0), ("coco", coco_roboflow, 0), ("voc", voc_roboflow, 1)])
def test_boxes_of_sound_files_are_those_that_supervision_reads(
    name: str, write: Callable[[Path], None], shift: int, tmp_path: Path
) -> None:
    """Pascal VOC's first pixel is 1 to supervision; the numbers are taken as they are written here."""
    write(tmp_path)
    mine = ours(tmp_path)
    val = "valid" if name != "yolo" else "val"
    for split in ("train", val, "test"):
        for file, boxes in theirs(tmp_path, name, split).items():
            assert [label for label, _ in boxes] == [label for label, _ in mine[file]]
            expected = np.asarray([box for _, box in boxes]) + np.asarray((shift, shift, 0, 0))
            assert np.allclose(expected, [box for _, box in mine[file]], atol=0.01)


@pytest.mark.filterwarnings("ignore")
def test_one_bad_line_ends_supervision_and_costs_us_one_picture(tmp_path: Path) -> None:
    yolo(tmp_path)
    (tmp_path / "labels" / "train" / "0.txt").write_text("0 nan 0.5 0.1 0.1\n")
    with pytest.raises(ValueError, match="finite"):
        theirs(tmp_path, "yolo", "train")
    layout = open_pictures(tmp_path).layout
    assert [(item.file, item.why) for item in layout.left_out] == [
        ("images/train/0.jpg", "labels/train/0.txt line 1: 'nan' is not a number")
    ]
    assert len(layout.entries) == 11


@pytest.mark.filterwarnings("ignore")
def test_a_class_that_is_called_no_keeps_its_name_here(tmp_path: Path) -> None:
    yolo(tmp_path)
    text = (tmp_path / "data.yaml").read_text().replace("[cup, box]", "[no, 01]")
    (tmp_path / "data.yaml").write_text(text)
    assert open_pictures(tmp_path).labels == ["no", "01"]


def test_nothing_of_agpl_is_loaded_by_an_import(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    yolo(tmp_path / "photos")
    code = (
        "import sys; from pipelines.cli.main import main\n"
        "try: main(['import', 'photos', '--json'])\nexcept SystemExit: pass\n"
        "print({'ultralytics', 'torch', 'mlflow', 'supervision'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "set()"
