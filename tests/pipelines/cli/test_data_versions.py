"""`frames`, `data list` and `data diff` as a person uses them: versions by number, what changed in sentences, JSON for machines."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from pipelines.cli.app import run as run_command

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(tmp_path: Path, clips: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Run:
    """Runs a command in a folder with a job file and clips of its own; exit code, answer and messages."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(clips, tmp_path / "clips")
    (tmp_path / "modelyard.yaml").write_text("model: hand\ndata: {clips: clips}\ntrain: [{kind: torch, arch: small_cnn}]\n")

    def command(*words: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as left:
            run_command(list(words))
        shown = capfd.readouterr()
        return int(left.value.code or 0), shown.out, shown.err

    return command


def clip(number: int, label: str = "0") -> Path:
    return sorted((Path("clips") / label).iterdir())[number]


def test_the_versions_of_a_data_set_from_the_first_to_one_that_is_dealt_again(run: Run) -> None:
    assert "data set hand@1, the first version" in run("frames")[1]
    assert "data set hand@1: nothing is other than it was; no new version" in run("frames")[1]
    parked = clip(0).rename("parked.mp4")
    assert "data set hand@2 (parent hand@1): 1 clip removed, none moved" in run("frames")[1]
    parked.rename(Path("clips") / "0" / "back.mp4")
    clip(2, "1").rename(Path("clips") / "1" / "renamed.mp4")
    step = json.loads(run("frames", "--fps", "2", "--json")[1])
    assert (step["name"], step["version"], step["parent"], step["made"]) == ("hand@3", 3, "hand@2", True)
    assert (len(step["changes"]["added"]), step["changes"]["moved"]) == (1, [])
    code, text, _ = run("data", "diff", "hand@1", "hand@3")
    assert code == 0
    assert "no clip moved between splits" in text
    assert "2 clips renamed: " in text
    assert "fps was 5, is 2" in text
    document = json.loads(run("data", "diff", "hand@1", "hand@3", "--json")[1])
    assert document["sentences"] == text.splitlines()[: len(document["sentences"])]
    assert [change["was"].split("/")[0] for change in document["renamed"]] == ["0", "1"]
    again = json.loads(run("frames", "--fps", "2", "--resplit", "--json")[1])
    assert again["made"] == bool(again["changes"] and again["changes"]["moved"])
    rows = json.loads(run("data", "list", "hand", "--json")[1])
    assert [row["version"] for row in rows] == sorted((row["version"] for row in rows), reverse=True)
    assert [row["name"] for row in rows[-3:]] == ["hand@3", "hand@2", "hand@1"]
    assert [row["current"] for row in rows].count(True) == 1
    assert rows[-1]["splits"]["train"]["clips"] + rows[-1]["splits"]["val"]["clips"] + rows[-1]["splits"]["test"]["clips"] == 18
    assert all(row["present"] and row["labels"] == ["0", "1", "2"] for row in rows)
    assert "hand@2" in run("data", "list")[1]


def test_a_data_set_elsewhere_is_a_version_of_the_model_and_every_reference_opens_it(run: Run) -> None:
    run("frames")
    clip(0).unlink()
    made = json.loads(run("frames", "--out", "elsewhere", "--json")[1])
    assert (made["name"], made["parent"]) == ("hand@2", "hand@1")
    for reference in ("hand@2", "hand", "elsewhere", made["digest"], made["digest"][:7]):
        assert json.loads(run("data", "diff", reference, "hand@2", "--json")[1])["frames"]["removed"] == 0
    assert run("check", "--data", "hand@1")[0] == 0
    shutil.rmtree("elsewhere")
    assert run("check", "--data", "hand@2")[0] == 0


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (("data", "diff", "hand@1", "hand@9"), "data set hand@9: there is no such version; there are hand@1"),
        (("data", "diff", "hand@1", "hand@production"), "data set hand@production: is no data set of this home"),
        (("data", "diff", "nowhere/at/all", "hand@1"), "does not hold a data set"),
        (("data", "list", "foot"), "model 'foot': has no data set here"),
        (("check", "--data", "hand@3"), "there is no such version"),
    ],
)
def test_a_reference_to_nothing_is_one_line(run: Run, words: tuple[str, ...], line: str) -> None:
    run("frames")
    code, _, errors = run(*words)
    messages = [message for message in errors.splitlines() if message.startswith("modelyard: ")]
    assert (code, len(messages)) == (2, 1)
    assert line in messages[0]


def test_a_damaged_manifest_is_said_and_the_splits_stay(run: Run) -> None:
    run("frames")
    manifest = Path(".modelyard/datasets/hand/manifest.json")
    before = {row["clip"]: row["split"] for row in json.loads(manifest.read_text())["frames"]}
    manifest.unlink()
    manifest.write_text("{")
    clip(0).unlink()
    code, _, errors = run("frames")
    assert code == 0
    assert "manifest.json cannot be read: clips keep the splits of hand@1, the newest version that is kept" in errors
    after = {row["clip"]: row["split"] for row in json.loads(manifest.read_text())["frames"]}
    assert before.items() > after.items()


def test_without_a_data_set_the_list_says_how_to_make_one(run: Run) -> None:
    assert "modelyard frames" in run("data", "list")[1]
    assert json.loads(run("data", "list", "--json")[1]) == []
