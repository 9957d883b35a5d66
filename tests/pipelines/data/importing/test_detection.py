"""Detection data from its annotations to cards, pages and contact sheets: boxes stay as they were written."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from folders_of_formats import HEIGHT, WIDTH, coco_document, draw, each, label_studio_boxes, voc, yolo

from dashboards.datasets import LocalDataset
from pipelines.data.build import Dealing, write_dataset
from pipelines.data.dataset import DataSet, open_dataset
from pipelines.data.describe import describe_data
from pipelines.data.importing.look import look
from pipelines.data.importing.open import left_out_of, notes_of, opened
from pipelines.data.sheets import colour_of, draw_sheet
from pipelines.job.jobfile import Data, Split
from registry.errors import InputError


def quiet(*_: object) -> None:
    return


def read(root: Path, target: Path, *, again: bool = False) -> tuple[DataSet, list[str], dict[str, str]]:
    with opened(root, Data()) as source:
        data = write_dataset(source, target, Dealing(Split(), (), again), quiet)
        return data, notes_of(source), {item.file: item.why for item in left_out_of(source)}


def test_boxes_are_kept_as_they_were_written_even_where_they_are_wrong(tmp_path: Path) -> None:
    (tmp_path / "set").mkdir()
    yolo(tmp_path / "set")
    odd = "0 0.5 0.5 0 0\n1 0.95 0.5 0.2 0.5\n0 0.5 0.5 -0.2 0.2\n0 0.5 0.5 0.1 0.1 0.87\n1 0.1 0.1 0.3 0.1 0.3 0.4\n"
    (tmp_path / "set" / "labels" / "train" / "0.txt").write_text(odd)
    data, notes, _ = read(tmp_path / "set", tmp_path / "data")
    (row,) = [row for row in data.manifest.frames if row.source == "images/train/0.jpg"]
    boxes = [(box.label, box.left, box.right) for box in row.boxes or ()]
    expected = [("cup", 0.5, 0.5), ("box", 0.85, 1.05), ("cup", 0.6, 0.4), ("cup", 0.45, 0.55), ("box", 0.1, 0.3)]
    assert boxes == [(label, pytest.approx(left), pytest.approx(right)) for label, left, right in expected]
    assert (row.boxes or ())[1].source == (0.95, 0.5, 0.2, 0.5)
    assert notes == ["1 outline read as the box around it"]
    assert open_dataset(data.folder).manifest.digest == data.manifest.digest


@pytest.mark.parametrize(
    "line",
    ["0 nan 0.5 0.1 0.1", "7 0.5 0.5 0.1 0.1", "0 0.5 0.5", "cup 0.5 0.5 0.1 0.1", "-1 0.5 0.5 0.1 0.1", "0 1e999 0 0 0"],
)
def test_a_picture_whose_boxes_cannot_be_read_is_left_out_and_not_taken_for_empty(line: str, tmp_path: Path) -> None:
    (tmp_path / "set").mkdir()
    yolo(tmp_path / "set")
    (tmp_path / "set" / "labels" / "train" / "0.txt").write_text(f"0 0.5 0.5 0.1 0.1\n{line}\n")
    data, _, left_out = read(tmp_path / "set", tmp_path / "data")
    assert len(data.manifest.frames) == 11
    assert left_out["images/train/0.jpg"].startswith("labels/train/0.txt line 2: ")


def test_pictures_of_nothing_are_backgrounds_and_dealing_gives_each_class_its_share(tmp_path: Path) -> None:
    (tmp_path / "set").mkdir()
    yolo(tmp_path / "set")
    for number in range(20, 26):
        draw(tmp_path / "set" / "images" / "train" / f"{number}.jpg", number)
    (tmp_path / "set" / "labels" / "train" / "20.txt").write_text("")
    both = (tmp_path / "set" / "labels" / "train" / "0.txt").read_text() + "1 0.5 0.5 0.2 0.2\n"
    for number in (0, 2, 4):
        (tmp_path / "set" / "labels" / "train" / f"{number}.txt").write_text(both)
    data, notes, _ = read(tmp_path / "set", tmp_path / "data", again=True)
    rows = data.manifest.frames
    assert sum(row.boxes == () for row in rows) == 6
    assert "5 images without a label file: nothing to detect in them" in notes
    have = {(row.split, label) for row in rows for label in (row.labels or ("",))}
    assert have == {(split, label) for split in ("train", "val", "test") for label in ("cup", "box", "")}
    card = describe_data(data)
    assert "| images without a box | " in card
    assert "| boxes | " in card


def test_the_data_page_counts_and_shows_detection_data(tmp_path: Path) -> None:
    (tmp_path / "set").mkdir()
    yolo(tmp_path / "set")
    data, _, _ = read(tmp_path / "set", tmp_path / "data")
    page = LocalDataset(data.folder)
    assert page.digest == data.manifest.digest
    counts = page.counts().set_index(["class", "split"])["frames"]
    assert (counts["cup", "train"], counts["box", "test"]) == (3, 2)
    assert {name for _, name in page.examples("train", None, 8)} == {"cup", "box"}
    assert {name for _, name in page.examples("train", "cup", 8)} == {"cup"}


def test_a_sheet_shows_every_box_in_its_class_s_colour(tmp_path: Path) -> None:
    (tmp_path / "set").mkdir()
    yolo(tmp_path / "set")
    (tmp_path / "set" / "labels" / "train" / "0.txt").write_text("0 2 2 9 9\n1 0.5 0.5 0 0\n")
    data, _, _ = read(tmp_path / "set", tmp_path / "data")
    sheet = draw_sheet(data, "train")
    colours = {colour for _, colour in sheet.getcolors(sheet.width * sheet.height) or []}
    for label in ("cup", "box"):
        wanted = colour_of(data.manifest.labels, label)
        assert tuple(int(wanted[at : at + 2], 16) for at in (1, 3, 5)) in colours
    assert draw_sheet(data, "train").tobytes() == sheet.tobytes()
    with pytest.raises(InputError, match="has no 'x' split"):
        draw_sheet(data, "x")


def test_coco_of_many_kinds_is_read_and_each_oddity_said(tmp_path: Path) -> None:
    for number, *_ in each():
        draw(tmp_path / "set" / "images" / "deep" / f"{number}.jpg", number)
    document = coco_document(each(), prefix="deep\\")
    annotations: list[dict[str, object]] = document["annotations"]  # type: ignore[assignment]
    annotations[0]["iscrowd"] = 1
    annotations[1] |= {"bbox": None, "segmentation": [[4, 4, 20, 4, 20, 10]]}
    annotations[2]["bbox"] = [5, 5, 0, 0]
    annotations[3]["category_id"] = 12345
    annotations.append({"id": 99, "image_id": 4711, "category_id": 7, "bbox": [0, 0, 1, 1]})
    images: list[dict[str, object]] = document["images"]  # type: ignore[assignment]
    images.append({"id": 500, "file_name": "../../etc/passwd.jpg", "width": 4, "height": 4})
    images[4] |= {"width": 640, "height": 480}
    (tmp_path / "set" / "labels.json").write_text(json.dumps(document))
    data, notes, left_out = read(tmp_path / "set", tmp_path / "data", again=True)
    assert left_out == {
        "images/deep/3.jpg": "labels.json: category '12345' is not listed",
        "images/deep/4.jpg": f"its boxes are for 640x480 pixels, but upright it is {WIDTH}x{HEIGHT}",
        "labels.json: ../../etc/passwd.jpg": "is named there, but no such picture is in the folder",
    }
    assert len(data.manifest.frames) == 10
    assert {note.split(" ", 1)[1].split(" ")[0] for note in notes if note[0].isdigit()} == {"crowd", "outlines", "annotations"}


def test_xml_that_grows_by_entities_is_left_out_and_never_expanded(tmp_path: Path) -> None:
    (tmp_path / "set").mkdir()
    voc(tmp_path / "set")
    bomb = '<!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;&a;&a;">]><annotation><filename>&b;</filename></annotation>'
    (tmp_path / "set" / "Annotations" / "0.xml").write_text(bomb)
    data, _, left_out = read(tmp_path / "set", tmp_path / "data")
    assert len(data.manifest.frames) == 11
    assert left_out["Annotations/0.xml"] == "is no annotation in Pascal VOC's XML"
    assert left_out["JPEGImages/0.jpg"] == "no XML file annotates it"


def test_a_turned_rectangle_becomes_the_box_around_it_and_a_cancelled_task_is_left_out(tmp_path: Path) -> None:
    (tmp_path / "set").mkdir()
    label_studio_boxes(tmp_path / "set")
    path = tmp_path / "set" / "export.json"
    tasks = json.loads(path.read_text())
    turned = {"x": 50, "y": 0, "width": 25, "height": 25, "rotation": 90, "rectanglelabels": ["cup"]}
    tasks[0]["annotations"][0]["result"][0]["value"] = turned
    tasks[1]["annotations"][0]["was_cancelled"] = True
    path.write_text(json.dumps(tasks))
    data, notes, left_out = read(tmp_path / "set", tmp_path / "data")
    (row,) = [row for row in data.manifest.frames if row.source == "train/0.jpg"]
    (box,) = row.boxes or ()
    across, down = 0.25 * HEIGHT / WIDTH, 0.25 * WIDTH / HEIGHT
    assert (box.left, box.top, box.right, box.bottom) == pytest.approx((0.5 - across, 0, 0.5, down), abs=1e-6)
    assert "1 turned rectangles read as the box around them" in notes
    assert left_out["train/1.jpg"] == "export.json: its task was not annotated"


@pytest.mark.parametrize("label", ["../../x", "a/b", ".", "..", "a\nb", ""])
def test_a_choice_that_cannot_be_a_folder_s_name_is_one_line_and_writes_nothing_elsewhere(label: str, tmp_path: Path) -> None:
    tasks = []
    for number in range(6):
        draw(tmp_path / "set" / f"{number}.jpg", number)
        tasks.append({"id": number, "image": f"{number}.jpg", "choice": label if number % 2 else "cup", "annotator": 1})
    (tmp_path / "set" / "x.json").write_text(json.dumps(tasks))
    with pytest.raises(InputError, match="class '") as caught:
        read(tmp_path / "set", tmp_path / "deep" / "data")
    assert len(str(caught.value).splitlines()) == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["set"]


def test_annotations_of_voc_in_sub_folders_are_of_the_pictures_at_the_same_place(tmp_path: Path) -> None:
    """Pictures of the same name lie in several folders, one of them nearer to the annotations than its own."""
    for number, folder in enumerate(("", "day1", "day2")):
        draw(tmp_path / "JPEGImages" / folder / "0.jpg", number)
        path = tmp_path / "Annotations" / folder / "0.xml"
        path.parent.mkdir(exist_ok=True, parents=True)
        box = f"<xmin>{number}</xmin><ymin>0</ymin><xmax>9</xmax><ymax>9</ymax>"
        name = "<filename>0.jpg</filename>"
        path.write_text(f"<annotation>{name}<object><name>cup</name><bndbox>{box}</bndbox></object></annotation>")
    layout = look(tmp_path, tmp_path).layout
    assert {str(entry.file): entry.boxes[0].left for entry in layout.entries if entry.boxes} == {
        "JPEGImages/0.jpg": 0,
        "JPEGImages/day1/0.jpg": 1,
        "JPEGImages/day2/0.jpg": 2,
    }
    assert layout.left_out == []
