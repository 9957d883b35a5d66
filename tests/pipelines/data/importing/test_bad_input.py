"""What lies in a folder is read, or listed with its reason, or the folder is refused in one line."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from folders_of_formats import class_folders, draw, split_folders, yolo
from odd_pictures import LEFT_OUT, READ, read

from registry.errors import InputError


@pytest.mark.parametrize("name", READ)
def test_an_odd_picture_is_read_with_its_own_bytes(name: str, tmp_path: Path) -> None:
    class_folders(tmp_path / "photos")
    path = tmp_path / "photos" / "cup" / name
    path.write_bytes(READ[name]())
    data, left_out, _ = read(tmp_path / "photos", tmp_path / "data", strict=True)
    (row,) = [row for row in data.manifest.frames if row.source == f"cup/{name}"]
    assert left_out == {}
    assert (data.folder / row.file).read_bytes() == path.read_bytes()


@pytest.mark.parametrize("name", LEFT_OUT)
def test_what_is_no_picture_is_listed_with_its_reason_and_refused_where_strict(name: str, tmp_path: Path) -> None:
    make, why = LEFT_OUT[name]
    class_folders(tmp_path / "photos")
    (tmp_path / "photos" / "cup" / name).write_bytes(make())
    data, left_out, _ = read(tmp_path / "photos", tmp_path / "data")
    assert list(left_out) == [f"cup/{name}"]
    assert why in left_out[f"cup/{name}"]
    assert len(data.manifest.frames) == 12
    assert json.loads((data.folder / "sources.json").read_text())["left_out"] == [
        {"file": f"cup/{name}", "why": left_out[f"cup/{name}"]}
    ]
    with pytest.raises(InputError, match="strict"):
        read(tmp_path / "photos", tmp_path / "strict", strict=True)
    assert not (tmp_path / "strict").exists()


def test_links_pipes_and_hidden_files_are_not_followed_and_not_waited_for(tmp_path: Path) -> None:
    root = tmp_path / "photos"
    class_folders(root)
    draw(tmp_path / "outside.jpg", 99)
    (root / "cup" / "out.jpg").symlink_to(tmp_path / "outside.jpg")
    (root / "cup" / "in.jpg").symlink_to("0.jpg")
    (root / "cup" / "gone.jpg").symlink_to("nothing")
    (root / "cup" / "loop").symlink_to(root)
    os.mkfifo(root / "cup" / "pipe.jpg")
    (root / "cup" / "Thumbs.db").write_bytes(b"x")
    (root / "__MACOSX").mkdir()
    (root / "__MACOSX" / "a.jpg").write_bytes(b"x")
    data, left_out, _ = read(root, tmp_path / "data")
    assert left_out == {
        "cup/out.jpg": "a link out of the folder",
        "cup/gone.jpg": "a link to nothing",
        "cup/loop": "a link to a folder",
        "cup/pipe.jpg": "a pipe",
    }
    assert len(data.manifest.frames) == 13
    assert json.loads((data.folder / "sources.json").read_text())["ignored"] == 2


def test_sub_folders_of_a_class_are_read_as_that_class_and_said(tmp_path: Path) -> None:
    class_folders(tmp_path / "photos")
    draw(tmp_path / "photos" / "cup" / "monday" / "deep" / "0.jpg", 50)
    draw(tmp_path / "photos" / "cup" / "tuesday" / "0.jpg", 50)  # the same bytes, the same name
    data, _, notes = read(tmp_path / "photos", tmp_path / "data")
    assert {row.source for row in data.manifest.frames if row.label == "cup"} >= {"cup/monday/deep/0.jpg", "cup/tuesday/0.jpg"}
    assert "class 'cup': 2 images in sub-folders, read as this class" in notes


@pytest.mark.parametrize(
    ("names", "count"), [(("a.jpg", "A.jpg"), 2), (("\u00e9.jpg", "e\u0301.jpg"), 2), (("a.jpg", "a.jpeg"), 2)]
)
def test_names_that_some_file_systems_take_for_one_stay_two(names: tuple[str, str], count: int, tmp_path: Path) -> None:
    class_folders(tmp_path / "photos")
    for name in names:
        draw(tmp_path / "photos" / "cup" / name, 77)
    if len(list((tmp_path / "photos" / "cup").iterdir())) < 6 + count:
        pytest.skip("this file system takes them for one")
    data, _, _ = read(tmp_path / "photos", tmp_path / "data")
    files = [row.file.casefold() for row in data.manifest.frames if Path(row.source).name in names]
    assert len(set(files)) == len(files) == count


REFUSED: dict[str, tuple[Callable[[Path], object], str]] = {
    "an empty class": (lambda root: (root / "pen").mkdir(), "class 'pen': has no images"),
    "a class of text": (
        lambda root: [(root / "pen").mkdir(), (root / "pen" / "0.jpg").write_text("x")],
        "class 'pen': has no image",
    ),
    "splits and more": (lambda root: [split_folders(root), draw(root / "extra" / "0.jpg", 1)], "beside them"),
    "two layouts": (lambda root: [yolo(root), (root / "x.xml").write_text("<annotation/>")], "several layouts at once"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_meant_is_one_line_and_nothing_is_written(name: str, tmp_path: Path) -> None:
    change, message = REFUSED[name]
    root = tmp_path / "photos"
    root.mkdir()
    if name != "two layouts":
        class_folders(root)
    change(root)
    with pytest.raises(InputError, match=message):
        read(root, tmp_path / "data")
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ([], "holds no images and no clips"),
        (["a.txt", "b.pdf"], r"1 .txt, 1 .pdf|1 .pdf, 1 .txt"),
        (["1.jpg", "2.jpg"], "2 images and neither class folders nor annotations"),
        (["cup/1.jpg", "cup/2.jpg"], "one class only"),
        (["train/1.jpg", "val/2.jpg"], "no folder per class"),
    ],
)
def test_an_unknown_layout_says_what_was_seen_and_what_is_known(files: list[str], message: str, tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    for number, name in enumerate(files):
        draw(tmp_path / "photos" / name, number) if name.endswith("jpg") else (tmp_path / "photos" / name).write_text("x")
    with pytest.raises(InputError, match=message):
        read(tmp_path / "photos", tmp_path / "data")
