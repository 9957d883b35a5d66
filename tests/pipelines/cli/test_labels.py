"""`modelyard data label-errors`, `propose`, `review` and `apply-review` as a person and a machine type them."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pipelines.cli.main import main

COLOURS = {"red": (200, 30, 30), "green": (30, 190, 30), "blue": (30, 30, 200)}
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")


def paint(path: Path, colour: str, seed: int) -> None:
    random = np.random.default_rng(seed)
    pixels = np.array(COLOURS[colour]) + random.integers(-25, 25, (32, 32, 3)) + random.integers(-20, 20)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8)).save(path)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home with a data set of which two labels are wrong, and no job file but the default's name."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MODELYARD_HOME", str(tmp_path / "home"))
    for number, colour in enumerate(COLOURS):
        for take in range(8):
            for picture in range(2):
                wrong = take == 3 and picture == 0 and colour != "blue"
                folder = tmp_path / "photos" / ("blue" if wrong else colour)
                paint(folder / f"t{number}{take}_{colour}{picture}.png", colour, 100 * number + 10 * take + picture)
    assert run("init") == 0
    assert run("frames", "--images", "photos", "--group", r"^(t\d+)_") == 0
    return tmp_path / "home"


def run(*words: str | Path) -> int:
    with pytest.raises(SystemExit) as ended:
        main([str(word) for word in words])
    return int(ended.value.code or 0)


Ask = Callable[..., dict[str, Any]]


@pytest.fixture
def ask(capsys: pytest.CaptureFixture[str]) -> Ask:
    def asked(*words: str | Path) -> dict[str, Any]:
        capsys.readouterr()
        assert run(*words, "--json") == 0
        lines = capsys.readouterr().out.splitlines()
        assert len(lines) == 1, "one document"
        return json.loads(lines[0])

    return asked


def line_of(capsys: pytest.CaptureFixture[str], *words: str | Path) -> str:
    capsys.readouterr()
    assert run(*words) == 2
    captured = capsys.readouterr()
    (line,) = [line for line in captured.err.splitlines() if not line.startswith("·")]
    return line


def test_from_suggestions_to_the_next_version(home: Path, ask: Ask, capsys: pytest.CaptureFixture[str]) -> None:
    report = ask("data", "label-errors")
    wrong = {row["sha256"]: row["suggested"] for row in report["candidates"] if row["label"] == "blue"}
    assert sorted(wrong.values()) == ["green", "red"]
    assert (report["checked"], report["of"], report["unchecked"], report["groups"]) == (48, 48, {}, "known")
    assert Image.open(report["sheet"]).height > 100
    assert ask("data", "review")["undecided"] == len(report["candidates"])
    first, second = wrong
    decided = ask("data", "review", "--accept", first[:12], "--relabel", f"{second}={wrong[second]}", "--as", "ada")
    assert [row["who"] for row in decided["recorded"]] == ["ada", "ada"]
    assert ask("data", "review", "--accept", first[:12], "--as", "bob")["recorded"] == [], "it is decided already"
    applied = ask("data", "apply-review")
    assert (applied["version"], applied["parent"], applied["changes"]) == (2, report["digest"], {"relabelled": 2})
    assert run("data", "apply-review") == 0
    assert "nothing is decided that is not in version 2 already" in capsys.readouterr().out
    assert run("frames", "--images", "photos", "--group", r"^(t\d+)_") == 0
    assert ask("data", "review")["digest"] == applied["digest"], "frames keeps what was decided"


def test_people_read_what_was_doubted_and_what_to_do(home: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert run("data", "label-errors", "--out", tmp_path / "sheets") == 0
    text = capsys.readouterr().out
    assert "labels of 48 pictures are likely wrong" in text
    assert "modelyard dashboard --review" in text
    assert (tmp_path / "sheets" / "label-errors.jpg").is_file()
    assert run("data", "review") == 0
    assert "are undecided" in capsys.readouterr().out


def test_a_bundle_proposes_labels_and_new_pictures(
    home: Path, ask: Ask, make_bundle: Callable[..., object], tmp_path: Path
) -> None:
    make_bundle(tmp_path / "bundle")
    own = ask("data", "propose", "--with", tmp_path / "bundle")
    assert {(row["label"], row["suggested"]) for row in own["candidates"]} == {("blue", "red"), ("blue", "green")}
    assert all(row["kind"] == "proposal" and row["by"].endswith("bundle") for row in own["candidates"])
    for number in range(4):
        paint(tmp_path / "inbox" / f"new{number}.png", "green", 900 + number)
    new = ask("data", "propose", "--with", tmp_path / "bundle", "--images", "inbox", "--least", "0.6")
    assert [(row["suggested"], row["is_new"]) for row in new["candidates"]] == [("green", True)] * 4
    assert ask("data", "review")["undecided"] == 6, "earlier proposals stay"
    words = [word for row in new["candidates"] for word in ("--accept", row["sha256"])]
    ask("data", "review", *words)
    assert ask("data", "apply-review")["changes"] == {"added": 4}


def test_what_cannot_be_is_one_line(home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    assert "no version, no bundle and no proposer" in line_of(capsys, "data", "propose", "--with", "no such thing!")
    assert "does not hold a data set" in line_of(capsys, "data", "review", "--data", "photos")
    assert "too short" in line_of(capsys, "data", "review", "--accept", "12")
    assert "give --review as well" in line_of(capsys, "dashboard", "--as", "ada")
    assert "leave --host out" in line_of(capsys, "dashboard", "--review", "--host", "0.0.0.0")  # noqa: S104
    monkeypatch.setitem(sys.modules, "cleanlab.filter", None)
    assert "pip install 'modelyard[labels]'" in line_of(capsys, "data", "label-errors")


def test_a_reviewer_of_the_environment_reaches_no_dashboard(monkeypatch: pytest.MonkeyPatch) -> None:
    from pipelines.services.environments import inherited
    from registry.reports.reviews import REVIEWER

    monkeypatch.setenv(REVIEWER, "mallory")
    assert REVIEWER not in inherited("dashboard")
