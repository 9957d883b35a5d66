"""Names that people and file systems give: each works from pictures to checks, or is refused in one line before anything is made."""

from __future__ import annotations

import json
import os
import sys
import warnings
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from pipelines.data.build import build_dataset, open_source
from pipelines.data.checks import check
from pipelines.data.dataset import open_dataset
from pipelines.data.frames import Sampling, extract
from pipelines.job.jobfile import Data
from registry.errors import InputError

GOOD = [
    "n01440764", "n02102040", "$1_$2", r"$\frac{", "$HOME", "it's", 'a "b"', "a\\b", "<b>&amp;", "{x} %s", "~", "-", "#1", "a|b",
    "日本", "שלום", "👩‍👩‍👧", "é", "None", "nan", "10", "CON", "a" * 255, "ä" * 127, " ", "a.b.jpg",
]  # fmt: skip
BAD = ["a\nb", "a\rb", "a\tb", "\x1b[31m", "a\u2028b", os.fsdecode(b"\xff"), os.fsdecode(b"caf\xe9")]


def quiet(*_: object) -> None:
    return


def draw(path: Path, seed: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(seed).integers(60, 200, (40, 40, 3), np.uint8)
    Image.fromarray(noise).save(path, "PNG")


@pytest.fixture
def named(tmp_path: Path) -> Path:
    """Three pictures of each class that can be."""
    for number, name in enumerate(GOOD):
        for picture in range(3):
            draw(tmp_path / "pictures" / name / f"{picture}.png", number * 3 + picture)
    return tmp_path / "pictures"


@pytest.mark.usefixtures("_english")
def test_every_name_that_a_class_can_have_comes_through_the_checks(named: Path, tmp_path: Path) -> None:
    data = build_dataset(Data(images=named), tmp_path / "data", quiet)
    assert data.manifest.labels == sorted(GOOD)
    assert open_dataset(data.folder).manifest == data.manifest
    report = check(data, tmp_path / "report")
    assert report.errors == []


@pytest.fixture
def _english() -> None:
    """File names are UTF-8 here, whatever the machine's language."""
    if sys.getfilesystemencoding() != "utf-8":
        pytest.skip("this machine's file names are not UTF-8")


CASES = [(name, "class") for name in BAD if "\\udc" not in ascii(name)]
CASES += [(name, where) for name in BAD for where in ("source", "target") if "\\udc" in ascii(name)]


@pytest.mark.parametrize(("name", "where"), CASES, ids=ascii)
def test_a_name_that_cannot_be_is_one_line_and_leaves_nothing(name: str, where: str, tmp_path: Path) -> None:
    """Of classes one line of text is asked; of the folders that a user types that they are UTF-8."""
    source = tmp_path / (name if where == "source" else "pictures")
    for label in ("red", "blue"):
        for number in range(3):
            draw(source / label / f"{number}.png", number)
    if where == "class":
        draw(source / name / "x.png", 1)
    target = tmp_path / (name if where == "target" else "data")
    with pytest.raises(InputError) as caught:
        build_dataset(Data(images=source), target, quiet)
    str(caught.value).encode()
    assert len(str(caught.value).splitlines()) == 1
    assert "name" in caught.value.expectation
    assert not target.exists()


@pytest.mark.parametrize("name", [b"\xff", b"caf\xe9", b"\x83\x65\x83\x58\x83\x67"])
def test_a_picture_or_class_whose_name_is_not_utf8_is_read_under_an_escaped_name(name: bytes, tmp_path: Path) -> None:
    odd = os.fsdecode(name)
    for label in ("red", odd):
        for number in range(3):
            draw(tmp_path / "pictures" / label / f"{number}.png", number)
    (tmp_path / "pictures" / odd / "0.png").rename(tmp_path / "pictures" / odd / f"{odd}.png")
    draw(tmp_path / "pictures" / "0.png", 9)
    (tmp_path / "pictures" / "0.png").rename(tmp_path / "pictures" / f"{odd}.png")
    data = build_dataset(Data(images=tmp_path / "pictures"), tmp_path / "data", quiet)
    data.verify()
    escaped = name.decode("utf-8", "backslashreplace")
    assert data.manifest.labels == sorted(["red", escaped])
    assert f"{escaped}/{escaped}.png" in {row.source for row in data.manifest.frames}
    assert open_dataset(data.folder).manifest == data.manifest
    left_out = json.loads((data.folder / "sources.json").read_text())["left_out"]
    assert left_out == [{"file": f"{escaped}.png", "why": "lies outside of a class's folder"}]


@pytest.mark.parametrize("name", [b"\xff.mp4", b"caf\xe9.mp4"])
def test_a_clip_whose_name_is_not_utf8_crashes_nobody(name: bytes, tmp_path: Path) -> None:
    clip = Path(os.fsdecode(os.fsencode(tmp_path) + b"/" + name))
    writer = cv2.VideoWriter(str(tmp_path / "clip.mp4"), cv2.VideoWriter.fourcc(*"mp4v"), 12, (64, 48))
    writer.write(np.zeros((48, 64, 3), np.uint8))
    writer.release()
    (tmp_path / "clip.mp4").rename(clip)
    with pytest.raises(InputError, match="is not UTF-8"):
        extract(clip, Sampling())


def test_long_names_of_files_are_cut_and_stay_apart(tmp_path: Path) -> None:
    for label in ("red", "blue"):
        for number in range(3):
            draw(tmp_path / "pictures" / label / f"{'x' * 249}{number}.png", number)
    data = build_dataset(Data(images=tmp_path / "pictures"), tmp_path / "data", quiet)
    assert len({row.file for row in data.manifest.frames}) == 6
    data.verify()


def test_what_cannot_be_read_is_listed_by_the_name_that_the_user_knows_and_refused_where_strict(tmp_path: Path) -> None:
    for label in ("red", "blue"):
        for number in range(6):
            draw(tmp_path / "pictures" / label / f"{number}.png", number)
    broken, bomb = (tmp_path / "pictures" / "red" / name for name in ("1.png", "2.png"))
    broken.write_bytes(broken.read_bytes()[:60])
    Image.new("1", (10_000, 9_500)).save(bomb, "PNG")
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        data = build_dataset(Data(images=tmp_path / "pictures"), tmp_path / "data", quiet)
        with pytest.raises(InputError) as caught:
            open_source(Data(images=tmp_path / "pictures"), strict=True).members()
    assert heard == []
    assert caught.value.subject == str(broken)
    left_out = {item["file"]: item["why"] for item in json.loads((data.folder / "sources.json").read_text())["left_out"]}
    assert set(left_out) == {"red/1.png", "red/2.png"}
    assert "pixels" in left_out["red/2.png"]
    assert len(data.manifest.frames) == 10
