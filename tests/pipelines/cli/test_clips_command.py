"""`frames` on clips and `capture`, as they are typed."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import pytest

from pipelines.cli.main import main

sys.path.insert(0, str(Path(__file__).parents[1] / "data"))
from clip_maker import Film, make_clip


@pytest.fixture
def typed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]):
    """Runs a command in an empty folder; its exit code, output and errors."""
    monkeypatch.chdir(tmp_path)

    def run(*words: str) -> tuple[object, str, str]:
        try:
            main([*words])
            code: object = 0
        except SystemExit as leaving:
            code = leaving.code or 0
        shown = capfd.readouterr()
        return code, shown.out, shown.err

    return run


def test_frames_says_what_was_kept_and_dropped_of_each_clip_and_strict_refuses_damage(
    typed, clips: Path, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(clips, tmp_path / "clips"))
    cut = make_clip(folder / "0" / "cut.mp4", Film(range(0, 4000, 40), muxing={"movflags": "faststart"}))
    cut.write_bytes(cut.read_bytes()[: cut.stat().st_size * 6 // 10])
    assert typed("init")[0] == 0
    code, _, errors = typed("frames", "--strict")
    assert code == 2
    assert "cut.mp4: is not whole: " in errors.splitlines()[-1]
    code, shown, errors = typed("frames")
    assert code == 0
    assert "· warning: 0/cut.mp4: is not whole: " in errors
    assert "over the rate" in shown
    assert "unchanged" in shown
    code, shown, _ = typed("frames", "--json")
    sources = json.loads(shown)["sources"]
    assert len(sources["clips"]) == 19
    assert sources["warnings"][0].startswith("0/cut.mp4: is not whole: ")


def test_a_list_of_files_among_clips_is_one_line(typed, clips: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(clips, tmp_path / "clips"))
    (folder / "1" / "list.mp4").write_text("ffconcat version 1.0\nfile 'other.mp4'\n")
    assert typed("init")[0] == 0
    code, _, errors = typed("frames")
    assert code == 2
    assert "list.mp4: is not a video: it is text" in errors.splitlines()[-1]


def test_capture_films_from_a_file_and_frames_reads_it(typed, tmp_path: Path) -> None:
    make_clip(tmp_path / "film.mp4", Film(range(0, 4000, 40)))
    words = ("capture", "--class", "hand", "--class", "not_hand", "--seconds", "0.6", "--source", "film.mp4", "--session", "s1")
    code, shown, _ = typed(*words, "--json")
    assert code == 0
    answer = json.loads(shown)
    assert [take["file"] for take in answer["takes"]] == [
        f"clips/{label}/s1-take-0{number}.mp4" for label in ("hand", "not_hand") for number in (1, 2, 3)
    ]
    assert answer["advice"] == []
    assert typed("init")[0] == 0
    code, shown, _ = typed("frames", "--json")
    assert code == 0
    assert {clip["take"]["session"] for clip in json.loads(shown)["sources"]["clips"]} == {"s1"}


def test_capture_says_when_a_class_has_too_few_takes(typed, tmp_path: Path) -> None:
    make_clip(tmp_path / "film.mp4", Film(range(0, 4000, 40)))
    code, shown, errors = typed(
        "capture", "--class", "hand", "--seconds", "0.6", "--takes", "1", "--source", "film.mp4", "--yes"
    )
    assert code == 0
    assert "class 'hand' has 1 take, and 3 are needed" in errors
    assert "modelyard frames --clips clips" in shown


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("capture",), "--class: is missing"),
        (("capture", "--class", "hand", "--source", "file:///x"), "is no camera's address"),
        (("capture", "--class", "hand", "--source", "none.mp4"), "there is no such clip"),
        (("capture", "--class", "hand", "--source", "film.mp4", "--seconds", "9"), "film.mp4: has ended after 1.0 seconds"),
    ],
)
def test_what_cannot_be_filmed_is_one_line(typed, words: tuple[str, ...], message: str, tmp_path: Path) -> None:
    make_clip(tmp_path / "film.mp4")
    code, _, errors = typed(*words)
    lines = [line for line in errors.splitlines() if not line.startswith("·")]
    assert code == 2
    assert len(lines) == 1
    assert message in lines[0]
    assert not (tmp_path / "clips").exists() or list((tmp_path / "clips").rglob("*.mp4")) == []


def sorted_clips(root: Path, kind: str) -> None:
    """Two classes of three clips each, lying in one of the ways that people have them."""
    for label in ("cup", "box"):
        for number in range(3):
            path = {
                "nested": root / label / f"day{number}" / "take.mp4",
                "wrapped": root / "export" / label / f"{number}.MP4",
                "split": root / ("Train", "valid", "test")[number] / label / "take.mp4",
                "with notes": root / label / f"{number}.mp4",
            }[kind]
            path.parent.mkdir(parents=True, exist_ok=True)
            make_clip(path, Film([*range(0, 900 + 100 * number + 10 * len(label) * (label == "cup"), 40)]))
    if kind == "with notes":
        (root / "README.txt").write_text("mine")
        (root / "cup" / "notes.txt").write_text("mine")


@pytest.mark.parametrize("kind", ["nested", "wrapped", "split", "with notes"])
def test_init_frames_and_import_read_clips_as_they_lie(typed, tmp_path: Path, kind: str) -> None:
    sorted_clips(tmp_path / "film", kind)
    assert typed("init")[0] == 0
    code, shown, errors = typed("frames", "--json")
    assert code == 0, errors
    made = json.loads(shown)
    assert (made["labels"], made["clips"]) == (["box", "cup"], {"train": 2, "val": 2, "test": 2})
    assert {clip["label"] for clip in made["sources"]["clips"]} == {"box", "cup"}
    assert len(made["left_out"]) == (2 if kind == "with notes" else 0)
    assert typed("frames", "--strict")[0] == (2 if kind == "with notes" else 0)
    code, shown, _ = typed("import", "film", "--name", tmp_path.name, "--json")
    assert (code, json.loads(shown)["digest"]) == (0, made["digest"])
    code, shown, _ = typed("import", "film", "--name", tmp_path.name)
    assert "over the rate" in shown, "import says what became of each clip, too"
    assert f"data set {tmp_path.name}@1: nothing is other than it was" in shown


@pytest.mark.parametrize("command", [("frames", "--clips", "film"), ("import", "film")])
def test_clips_in_split_folders_without_classes_are_refused(typed, tmp_path: Path, command: tuple[str, ...]) -> None:
    for split in ("train", "val"):
        (tmp_path / "film" / split).mkdir(parents=True)
        make_clip(tmp_path / "film" / split / "take.mp4", Film(range(0, 400, 40)))
    code, _, errors = typed(*command)
    assert (code, len(errors.splitlines())) == (2, 1)
    assert "has clips in 'train', 'val', but no folder per class there" in errors
    assert not (tmp_path / ".modelyard" / "datasets" / "film").exists()


def test_errors_about_a_clip_in_an_archive_name_the_archive(typed, tmp_path: Path) -> None:
    sorted_clips(tmp_path / "film", "with notes")
    (tmp_path / "film" / "cup" / "list.mp4").write_text("ffconcat version 1.0")
    packed = Path(shutil.make_archive(str(tmp_path / "packed"), "zip", tmp_path / "film"))
    code, _, errors = typed("import", packed.name)
    assert (code, len(errors.splitlines())) == (2, 1)
    assert "modelyard: packed.zip/cup/list.mp4: is not a video: it is text" in errors


def test_import_says_which_version_it_made_of_which(typed, tmp_path: Path) -> None:
    sorted_clips(tmp_path / "film", "with notes")
    assert "data set film@1, the first version" in typed("import", "film")[1]
    make_clip(tmp_path / "film" / "cup" / "more.mp4", Film(range(0, 1600, 40)))
    assert "data set film@2 (parent film@1): 1 clip added, none moved" in typed("import", "film")[1]
