"""`modelyard predict`: exit codes, and what people, spreadsheets and machines get of good and bad pictures."""

from __future__ import annotations

import csv
import io
import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "queries"))
from endpoint_double import Reply, endpoint

from pipelines.cli.main import main

COLUMNS = ["image", "frame", "seconds", "label", "probability", "probabilities", "could_be", "boxes", "served_by", "error"]


def run(*words: str | Path) -> int:
    with pytest.raises(SystemExit) as ended:
        main([str(word) for word in words])
    return int(ended.value.code or 0)


@pytest.fixture
def url() -> Iterator[str]:
    with endpoint(lambda data, _: Reply(422, {"error": "image: cannot be decoded"}) if data == b"bad" else Reply()) as (
        address,
        _,
    ):
        yield address


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, data in {"a.png": b"good", "b.png": b"bad", "c.png": b"good", "d.txt": b"text", "e\x1b[31m.md": b""}.items():
        (tmp_path / name).write_bytes(data)
    return tmp_path


def test_every_picture_answered_is_0_some_1_none_2(url: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("predict", url, folder / "a.png") == 0
    assert run("predict", url, folder) == 1
    assert run("predict", url, folder / "b.png", folder / "gone.png") == 2
    capsys.readouterr()
    assert run("predict", url, folder / "b.png") == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("modelyard: ")
    assert captured.err.endswith("b.png: the endpoint refused it (image: cannot be decoded); give a whole image file\n")
    assert run("predict", "http://127.0.0.1:9", folder) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.splitlines()[-1].startswith("modelyard: http://127.0.0.1:9: does not answer (ConnectError)")


def test_people_get_a_table_with_errors_and_what_was_skipped(
    url: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("predict", url, folder) == 1
    captured = capsys.readouterr()
    assert captured.out.count("cup") == 2
    assert "refused" in captured.out
    assert "skipped 2 that are neither pictures nor videos: d.txt, 'e\\x1b[31m.md'" in captured.err
    assert "1 of 3 pictures were not answered" in captured.err
    assert "\x1b" not in captured.out + captured.err


def test_machines_get_one_list_with_the_same_keys_in_every_row(
    url: str, folder: Path, clips: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (clip, *_) = sorted((clips / "0").iterdir())
    assert run("predict", url, folder, clip, "--fps", "120", "--json") == 1
    rows = json.loads(capsys.readouterr().out)
    assert all(list(row) == COLUMNS for row in rows)
    assert [row["label"] for row in rows[:3]] == ["cup", None, "cup"]
    assert [row["frame"] for row in rows] == [None] * 3 + list(range(6))


def test_spreadsheets_get_rows_in_which_no_file_s_name_is_a_formula(
    url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    names = ["=cmd|'C calc'!A0.png", "@SUM(1).png", "+1.png", 'a,b"c.png', "line\nbreak.png", "käse 🧀.png", "-x.png"]
    for name in names:
        Path(name).write_bytes(b"good")
    assert run("predict", url, "--csv", "--", *names) == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert list(rows[0]) == COLUMNS
    assert [row["image"].removeprefix("'") for row in rows] == names
    assert not any(cell[:1] in "=+-@\t\r" for row in rows for cell in row.values() if cell)
    assert json.loads(rows[0]["probabilities"]) == {"cup": 0.75, "hand": 0.25}
    assert [row["error"] for row in rows] == [""] * len(names)


def test_two_formats_at_once_and_a_folder_of_nothing_are_one_line(
    url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a.png").write_bytes(b"x")
    assert run("predict", url, tmp_path / "a.png", "--csv", "--json") == 2
    assert "choose one" in capsys.readouterr().err
    (tmp_path / "empty").mkdir()
    assert run("predict", url, tmp_path / "empty") == 2
    assert "holds no pictures and no videos" in capsys.readouterr().err
    assert run("predict", url, tmp_path / "a.png", "--fps", "0") == 2
    assert run("predict", "hand//1", tmp_path / "a.png") == 2


def test_a_thousand_files_are_asked_and_progress_is_not_in_the_answer(
    url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for number in range(500):
        (tmp_path / f"{number:04}.png").write_bytes(b"good")
    assert run("predict", url, *[tmp_path] * 2, "--csv") == 0
    captured = capsys.readouterr()
    assert len(captured.out.splitlines()) == 1001
    assert "files: 1000 of 1000" in captured.err
