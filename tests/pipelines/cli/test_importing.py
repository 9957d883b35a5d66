"""`import`, `frames`, `init` and `data show` over what people have, in this process."""

from __future__ import annotations

import json
import shutil
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from PIL import Image

sys.path.insert(0, str(Path(__file__).parents[1] / "data" / "importing"))
from folders_of_formats import FORMATS, LABELS, class_folders, draw, split_folders, yolo

from pipelines.cli.main import main
from pipelines.job.jobfile import read_job

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Run:
    """A command in an empty folder: its exit code, and what it prints."""
    monkeypatch.chdir(tmp_path)

    def call(*arguments: object) -> tuple[int, str, str]:
        capfd.readouterr()
        with pytest.raises(SystemExit) as left:
            main([str(argument) for argument in arguments])
        printed = capfd.readouterr()
        return int(left.value.code or 0), printed.out, printed.err

    return call


def answer(done: tuple[int, str, str]) -> dict[str, Any]:
    code, out, err = done
    assert code == 0, err
    return json.loads(out.splitlines()[-1])


def refused(done: tuple[int, str, str], message: str) -> None:
    code, _, err = done
    lines = [line for line in err.splitlines() if not line.startswith("·")]
    assert (code, len(lines)) == (2, 1), err
    assert message in lines[0]


def made(root: Path, name: str) -> Path:
    root.mkdir(parents=True)
    FORMATS[name][0](root)
    return root


@pytest.mark.parametrize("name", FORMATS)
def test_import_without_a_job_file_makes_the_folder_s_model(name: str, run: Run, tmp_path: Path) -> None:
    made(tmp_path / "My cups & boxes", name)
    document = answer(run("import", "My cups & boxes", "--json"))
    assert document["model"] == "My-cups-boxes"
    assert (document["format"], document["task"]) == FORMATS[name][1:3]
    assert sum(document["frames"].values()) == 12
    assert (document["left_out"], document["moved"], document["version"]) == ([], [], 1)
    assert (document["boxes"] is None) == (document["task"] == "classify")
    code, out, err = run("import", "My cups & boxes")
    assert code == 0
    assert "My-cups-boxes, version 1" in out, "nothing is other, so it is the same version"
    assert "`--resplit --group PATTERN`" in err
    assert out.splitlines()[-1] == "next: `modelyard check --data My-cups-boxes@1`"


@pytest.mark.parametrize("name", FORMATS)
def test_init_writes_a_job_that_frames_can_use(name: str, run: Run, tmp_path: Path) -> None:
    made(tmp_path / "photos", name)
    document = answer(run("init", "--json"))
    job = read_job(tmp_path / "modelyard.yaml")
    assert (job.task, str(job.data.images)) == (FORMATS[name][2], "photos")
    assert document["layout"].startswith(FORMATS[name][1])
    assert document["model"] == job.model == tmp_path.name
    frames = answer(run("frames", "--json"))
    assert sum(frames["frames"].values()) == 12
    refused(run("init"), "exists already")
    assert answer(run("init", "photos", "--force", "--json"))["model"] == "photos"


@pytest.mark.parametrize("name", ["yolo", "split folders", "coco", "voc"])
def test_init_and_frames_work_within_the_folder_itself(name: str, run: Run, tmp_path: Path) -> None:
    FORMATS[name][0](tmp_path)
    assert answer(run("init", "--json"))["images"] == "."
    frames = answer(run("frames", "--json"))
    assert (sum(frames["frames"].values()), frames["left_out"]) == (12, [])
    assert answer(run("frames", "--json"))["digest"] == frames["digest"]


def test_init_of_clips_and_of_nothing(run: Run, tmp_path: Path, clips: Path) -> None:
    assert answer(run("init", "--json")) == {"job": "modelyard.yaml"}
    shutil.copytree(clips, tmp_path / "clips")
    assert answer(run("init", "--force", "--json"))["clips"] == "clips"
    assert str(read_job(tmp_path / "modelyard.yaml").data.clips) == "clips"
    assert answer(run("init", "other.yaml", "--json")) == {"job": "other.yaml"}


def test_init_proposes_the_group_that_names_show_and_says_how_sure_it_is(run: Run, tmp_path: Path) -> None:
    for number in range(24):
        draw(tmp_path / "signs" / LABELS[number % 2] / f"s{number // 4:02}_{number}.jpg", number)
    document = answer(run("init", "signs", "--json"))
    assert (document["group"], document["group_sure"]) == ("^([^_]+)_", True)
    assert read_job(tmp_path / "modelyard.yaml").data.group == "^([^_]+)_"
    frames = answer(run("frames", "--json"))
    assert sum(frames["clips"].values()) == 6
    for number in range(24):
        draw(tmp_path / "takes" / LABELS[number % 2] / f"{LABELS[number % 2]}{number % 6}_{number}.jpg", number)
    document = answer(run("init", "takes", "--force", "--json"))
    assert (document["group"], document["group_sure"]) == ("^([^_]+)_", False)
    text = (tmp_path / "modelyard.yaml").read_text()
    assert "possible" in text
    assert yaml.safe_load(text)["data"].get("group") is None


def test_a_split_that_is_there_is_kept_dealt_again_when_asked_and_what_it_lacks_is_said(run: Run, tmp_path: Path) -> None:
    split_folders(made_root := tmp_path / "cups")
    shutil.rmtree(made_root / "test")
    document = answer(run("import", "cups", "--json"))
    assert (document["split_from"], document["frames"]) == ("source", {"train": 6, "val": 3, "test": 0})
    assert any("no test split" in note and "--resplit" in note for note in document["notes"])
    again = answer(run("import", "cups", "--resplit", "--json"))
    assert (again["split_from"], again["version"], again["parent"]) == ("dealt", 2, "cups@1")
    assert all(again["frames"].values())
    back = answer(run("import", "cups", "--json"))
    assert "dealt again to another split: " in run("import", "cups", "--resplit")[2]
    assert "moved to another split, as the source has it: " in run("import", "cups")[2]
    assert back["moved"], "the source's own split counts more than ours, and it is said what moved"
    assert {tuple(sorted(item)) for item in back["moved"]} == {("file", "from", "to")}


def test_the_workshop_s_own_layout_is_imported_with_its_split(run: Run, tmp_path: Path) -> None:
    """train/ and val/ with class folders, of one take per class, and a README beside them."""
    for split, numbers in (("train", range(8)), ("val", range(8, 10))):
        for label in ("hand", "not_hand"):
            for number in numbers:
                draw(tmp_path / "set" / split / label / f"{label}_{number:04}.jpg", number + 100 * (label == "hand"))
    (tmp_path / "set" / "README.txt").write_text("made at the workshop")
    document = answer(run("import", "set", "--name", "hand", "--json"))
    assert (document["labels"], document["frames"]) == (["hand", "not_hand"], {"train": 16, "val": 4, "test": 0})
    assert (document["split_from"], document["groups"]) == ("source", "unknown")
    assert document["left_out"] == [{"file": "README.txt", "why": "is no picture"}]
    refused(run("import", "set", "--strict"), "README.txt: is no picture")


def test_clips_are_imported_with_and_without_splits(run: Run, tmp_path: Path, clips: Path) -> None:
    shutil.copytree(clips, tmp_path / "takes")
    (tmp_path / "takes" / "0" / "notes.txt").write_text("x")
    document = answer(run("import", "takes", "--json"))
    assert (document["labels"], document["groups"], document["split_from"]) == (["0", "1", "2"], "known", "dealt")
    assert document["left_out"] == [{"file": "0/notes.txt", "why": "is no picture"}]
    for label in ("0", "1", "2"):
        for number, clip in enumerate(sorted((clips / label).iterdir())[:3]):
            target = tmp_path / "split" / ("train", "val", "test")[number] / label / "same name.mp4"
            target.parent.mkdir(parents=True)
            shutil.copy(clip, target)
    document = answer(run("import", "split", "--json"))
    assert (document["split_from"], document["clips"]) == ("source", {"train": 3, "val": 3, "test": 3})


def test_archives_and_options_that_cannot_be(run: Run, tmp_path: Path) -> None:
    class_folders(tmp_path / "cups")
    with zipfile.ZipFile(tmp_path / "cups.zip", "w") as file:
        for path in (tmp_path / "cups").rglob("*.jpg"):
            file.write(path, path.relative_to(tmp_path))
    assert answer(run("import", "cups.zip", "--json"))["model"] == "cups"
    refused(run("import", "gone"), "gone: cannot be opened")
    refused(run("import", "cups", "--name", "a/b"), "model name 'a/b'")
    refused(run("import", "cups", "--group", "("), "is not a regular expression")
    refused(run("import", "cups", "--group", "^(x)"), "does not match the group pattern")
    refused(run("import", "cups", "--job", "none.yaml"), "there is no job file here")
    refused(run("import", "cups", "--out", "cups/inside"), "lie within each other")
    refused(run("frames"), "there is no job file here")
    refused(run("frames", "--images", "cups.zip"), "there is no such folder")


def test_frames_of_images_works_without_a_job_file_and_strict_refuses(run: Run, tmp_path: Path) -> None:
    class_folders(tmp_path / "cups")
    (tmp_path / "cups" / "cup" / "text.jpg").write_text("x")
    document = answer(run("frames", "--images", "cups", "--json"))
    assert document["data"].endswith("datasets/cups")
    assert [item["file"] for item in document["left_out"]] == ["cup/text.jpg"]
    assert "cup/text.jpg" in run("frames", "--images", "cups")[2]
    refused(run("frames", "--images", "cups", "--strict"), "cup/text.jpg")
    assert answer(run("frames", "--images", "cups", "--name", "mugs", "--json"))["data"].endswith("datasets/mugs")


@pytest.mark.parametrize("write", [class_folders, yolo])
def test_data_show_draws_a_sheet(write: Callable[[Path], None], run: Run, tmp_path: Path) -> None:
    (tmp_path / "cups").mkdir()
    write(tmp_path / "cups")
    answer(run("import", "cups", "--json"))
    document = answer(run("data", "show", "--name", "cups", "--split", "test", "--out", "sheet.png", "--json"))
    assert document["images"] > 0
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert min(sheet.size) > 100
    refused(run("data", "show", "--name", "none"), "does not hold a data set")


def test_init_writes_only_what_is_used_of_a_folder_with_its_own_split(run: Run, tmp_path: Path, clips: Path) -> None:
    split_folders(tmp_path / "cups")
    for split in ("train", "val", "test"):
        shutil.copytree(clips, tmp_path / "film" / split)
    class_folders(tmp_path / "plain")
    for name, own in (("cups", True), ("film", True), ("plain", False)):
        answer(run("init", name, "--force", "--json"))
        text = (tmp_path / "modelyard.yaml").read_text()
        assert ("split:" in text, "its own split is kept" in text) == (not own, own), name
        assert "group" not in text, "no name shows one"


def test_frames_says_images_where_it_read_images(run: Run, tmp_path: Path) -> None:
    class_folders(tmp_path / "plain")
    out = run("frames", "--images", "plain")[1]
    assert "plain@1" in out
    assert "images" in out
    assert "clips" not in out
    grouped = run("frames", "--images", "plain", "--group", "^(.*)$", "--name", "other")[1]
    assert ("groups" in grouped, "clips" in grouped) == (True, False)


def test_init_takes_the_name_that_is_given(run: Run, tmp_path: Path) -> None:
    assert run("init", "--name", "hand")[0] == 0
    assert read_job(tmp_path / "modelyard.yaml").model == "hand"
    code, _, message = run("init", "--name", "a/b", "--force")
    assert (code, "model name 'a/b'" in message) == (2, True)
    assert read_job(tmp_path / "modelyard.yaml").model == "hand", "the file that was there is as it was"
