"""Labels that are wrong are found by what other clips of a class look like, never by other frames of the same clip."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from shapes import CLASSES, build, draw_takes, quiet

from pipelines.data.dataset import MANIFEST, Box, DataSet, Manifest
from pipelines.data.labels import errors
from pipelines.data.labels.errors import find_label_errors
from pipelines.data.labels.sheet import write_sheet
from registry.errors import InputError, UnavailableError

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")


def move(images: Path, file: str, kind: str) -> None:
    (path,) = images.glob(f"*/{file}")
    shutil.move(path, images / kind / file)


@pytest.fixture
def images(tmp_path: Path) -> Path:
    return draw_takes(tmp_path / "images")


def test_flipped_labels_are_suggested_back_and_few_others_are(tmp_path: Path) -> None:
    images = draw_takes(tmp_path / "images", takes=20)
    flipped = {f"take{100 * CLASSES.index(kind) + take}_{kind}_1.png": kind for kind in CLASSES for take in (0, 3)}
    for file, kind in flipped.items():
        move(images, file, CLASSES[(CLASSES.index(kind) + 1) % 3])
    report = find_label_errors(build(tmp_path / "home", images), quiet)
    suggested = {f"{Path(item.file).stem[:-9]}.png": item.suggested for item in report.candidates}
    assert sum(suggested.get(file) == kind for file, kind in flipped.items()) >= 4
    assert len(suggested.keys() - flipped.keys()) <= 2
    assert (report.checked, report.total, report.unchecked) == (180, 180, {})
    assert not any(item.whole_clip for item in report.candidates)


def test_right_labels_are_left_alone(images: Path, tmp_path: Path) -> None:
    assert len(find_label_errors(build(tmp_path / "home", images), quiet).candidates) <= 3


def test_a_take_in_the_wrong_folder_is_suggested_as_a_whole(images: Path, tmp_path: Path) -> None:
    for number in range(3):
        move(images, f"take2_bar_{number}.png", "disc")
    report = find_label_errors(build(tmp_path / "home", images), quiet)
    whole = [item for item in report.candidates if item.whole_clip]
    assert {(item.clip, item.label, item.suggested) for item in whole} == {("take2", "disc", "bar")}
    assert len(whole) == 3
    assert report.candidates[:3] == whole, "first of all"


def test_no_picture_is_judged_by_a_classifier_that_saw_its_clip(
    images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import numpy as np

    data = build(tmp_path / "home", images)
    rows = data.manifest.frames
    features = np.arange(len(rows), dtype=np.float32)[:, None]  # a picture's features are its number
    judged = set[int]()

    class Watching:
        def fit(self, lines, given):
            self.clips = {rows[int(line[0])].clip for line in lines}
            self.classes = len(set(given))
            return self

        def predict_proba(self, lines):
            numbers = [int(line[0]) for line in lines]
            assert not self.clips & {rows[number].clip for number in numbers}
            judged.update(numbers)
            return np.full((len(lines), self.classes), 1 / self.classes)

    monkeypatch.setattr(errors, "_classifier", lambda *_: Watching())
    errors._held_out(features, np.array([CLASSES.index(row.label) for row in rows]), [row.clip for row in rows], 3)
    assert judged == set(range(len(rows)))


def test_a_class_of_one_clip_is_said_and_neither_flagged_nor_fatal(tmp_path: Path, images: Path) -> None:
    data = build(tmp_path / "home", images)
    rows = [row for row in data.manifest.frames if row.label != "bar" or row.clip == "take0"]
    few = DataSet(data.folder, data.manifest.model_copy(update={"frames": rows}))
    report = find_label_errors(few, quiet)
    assert report.unchecked == {"bar": 1}
    assert all("bar" not in (item.label, item.suggested) for item in report.candidates)
    with pytest.raises(InputError, match="two classes of two clips"):
        only = [row for row in rows if row.label != "disc"]
        find_label_errors(DataSet(data.folder, data.manifest.model_copy(update={"frames": only})), quiet)


def test_a_large_data_set_is_sampled_the_same_way_each_time(images: Path, tmp_path: Path) -> None:
    data = build(tmp_path / "home", images)
    first, second = (find_label_errors(data, quiet, most=40) for _ in range(2))
    assert first == second
    assert (first.checked, first.total) == (40, 72)


def test_without_the_extra_it_is_one_line_that_names_it(images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = build(tmp_path / "home", images)
    monkeypatch.setitem(sys.modules, "cleanlab.filter", None)
    monkeypatch.setattr(errors, "features_of", lambda *_: pytest.fail("work was done first"))
    with pytest.raises(UnavailableError, match=r"cleanlab is not installed; run `pip install 'modelyard\[labels\]'`"):
        find_label_errors(data, quiet)


def test_boxes_are_checked_elsewhere(images: Path, tmp_path: Path) -> None:
    data = build(tmp_path / "home", images)
    box = Box(label="bar", left=0, top=0, right=1, bottom=1)
    rows = [row.model_copy(update={"boxes": (box,), "label": ""}) for row in data.manifest.frames]
    detects = data.manifest.model_copy(update={"task": "detect", "frames": rows})
    with pytest.raises(InputError, match="label errors are found in classes"):
        find_label_errors(DataSet(data.folder, detects), quiet)


def test_the_contact_sheet_shows_each_suggestion_and_survives_a_lost_picture(images: Path, tmp_path: Path) -> None:
    from PIL import Image

    move(images, "take2_bar_1.png", "disc")
    data = build(tmp_path / "home", images)
    candidates = find_label_errors(data, quiet).candidates
    assert candidates
    (data.folder / candidates[0].file).unlink()
    assert write_sheet(tmp_path / "sheet.jpg", candidates * 100, (data.folder, tmp_path)) == 60
    assert Image.open(tmp_path / "sheet.jpg").width > 900
    assert Manifest.model_validate(json.loads((data.folder / MANIFEST).read_text())) == data.manifest
