"""What a detector cannot learn from is refused before anything is trained, in one line; what is only odd is said."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path[:0] = [str(Path(__file__).parents[2])]
from detector import film_set

from pipelines.data.build import build_dataset
from pipelines.data.dataset import Box, DataSet, FrameRow, Manifest
from pipelines.job.jobfile import Data, Split
from pipelines.training.trainers.classes import check_boxes
from registry.errors import InputError

OUTSIDE = (1.2, 0.1, 1.5, 0.4)
FLAT = (0.2, 0.2, 0.2, 0.8)


def boxes(*labels: str, sides: tuple[float, ...] = (0.1, 0.1, 0.4, 0.4)) -> tuple[Box, ...]:
    left, top, right, bottom = sides
    return tuple(Box(label=label, left=left, top=top, right=right, bottom=bottom) for label in labels)


def data(train: tuple[Box, ...], val: tuple[Box, ...], test: tuple[Box, ...] = (), labels: str = "cup box") -> DataSet:
    about = {"sha256": "0" * 64, "clip_sha256": "0" * 64, "label": "", "width": 64, "height": 48}
    rows = [
        FrameRow.model_validate({"file": f"{split}/0.jpg", "clip": split, "split": split, "boxes": rows} | about)
        for split, rows in (("train", train), ("val", val), ("test", test))
    ]
    manifest = Manifest(labels=labels.split(), source="images", split=Split(), frames=rows, task="detect")
    return DataSet(Path("/nowhere/set"), manifest)


@pytest.mark.parametrize(
    ("train", "val", "test", "words"),
    [
        ((), boxes("cup"), (), "its train split has no box"),
        (boxes("cup", sides=OUTSIDE), boxes("cup"), (), "its train split has no box"),
        (boxes("cup", sides=FLAT), boxes("cup"), (), "its train split has no box"),
        (boxes("cup"), boxes("cup", "box"), (), "has boxes of 'box' in val and none in train"),
        (boxes("cup"), boxes("cup"), boxes("box"), "has boxes of 'box' in test and none in train"),
        (boxes("cup"), boxes("lid", "box"), (), "has boxes of 'box' and 1 more classes in val"),
    ],
)
def test_a_class_without_a_box_to_learn_from_is_refused(
    train: tuple[Box, ...], val: tuple[Box, ...], test: tuple[Box, ...], words: str
) -> None:
    with pytest.raises(InputError, match=f"^set: {words}") as caught:
        check_boxes(data(train, val, test, "cup box lid"), lambda _: None)
    assert "\n" not in str(caught.value)


def test_what_is_only_odd_is_said_and_trained() -> None:
    lines = list[str]()
    check_boxes(data(boxes("cup"), (), labels="cup box lid"), lines.append)
    assert lines == [
        "no picture has a box of box, lid: the detector will never find any",
        "val has no box, so nothing says which epoch is best: the last is kept",
    ]
    lines.clear()
    check_boxes(data(boxes("cup", "box"), boxes("cup")), lines.append)
    assert lines == []


def test_boxes_of_a_real_cup_and_a_real_box_are_learned_from(tmp_path: Path) -> None:
    clips = Path(__file__).parents[4] / "shared" / "data"
    if not clips.is_dir():
        pytest.skip("../shared/data is not here: it belongs to the project's own machines")
    source, lines = film_set(tmp_path / "film", tmp_path / "drawn", clips), list[str]()
    built = build_dataset(Data(images=source), tmp_path / "set", lambda *_: None)
    check_boxes(built, lines.append)
    assert lines == []
    assert set(built.manifest.labels) == {"square", "disc", "cup", "box"}
    sides = [box for row in built.manifest.frames for box in row.boxes or () if box.label in {"cup", "box"}]
    assert len(sides) >= 100
    areas = [(box.right - box.left) * (box.bottom - box.top) for box in sides]
    assert 0.02 < min(areas) < max(areas) < 0.8, "each is found, and is not the whole picture"


def test_a_classifiers_data_set_is_refused() -> None:
    given = data(boxes("cup"), boxes("cup"))
    plain = DataSet(given.folder, given.manifest.model_copy(update={"task": "classify"}))
    with pytest.raises(InputError, match="classifier's data set"):
        check_boxes(plain, lambda _: None)


def test_only_one_file_asks_torch_for_devices() -> None:
    """Where training computes is the launcher's to say: a trainer that looks for itself takes a GPU that was not given."""
    trainers = Path(__file__).parents[3] / "pipelines" / "training" / "trainers"
    asking = [path.name for path in trainers.glob("*.py") if ".is_available()" in path.read_text()]
    assert asking == ["devices.py"]
