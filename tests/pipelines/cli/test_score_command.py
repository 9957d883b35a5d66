"""`modelyard score`: exit codes, and what people and machines get."""

from __future__ import annotations

import importlib.util
import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from home_world import Run, copy_of


@pytest.fixture
def score(whole: Path, tmp_path: Path, run: Run, capfd: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """Scores with the version of a whole home: exit code, and what was printed where."""
    home = copy_of(whole, tmp_path)

    def command(*words: object) -> tuple[int, str, str]:
        given = ["score", *map(str, words), "--model", "hand/1", "--home", str(home)]
        from pipelines.cli.app import run as run_command

        try:
            run_command(given)
        except SystemExit as left:
            code = int(left.code or 0)
        out = capfd.readouterr()
        return code, out.out, out.err

    run(home, ("status",))  # the registry in memory
    capfd.readouterr()
    return command


def test_people_get_a_sentence_and_machines_a_summary(
    score: Callable[..., tuple[int, str, str]], whole: Path, tmp_path: Path
) -> None:
    picture = whole / "picture.png"
    code, out, _ = score(picture, "--out", tmp_path / "a.csv")
    assert (code, out.startswith("1 answers of hand/1 about 1 files")) == (0, True)
    assert (tmp_path / "a.csv").read_text().startswith("image,frame,seconds,label")
    (tmp_path / "bad.png").write_bytes(b"x")
    code, out, err = score(picture, tmp_path / "bad.png", "--out", tmp_path / "b.jsonl", "--json")
    summary = json.loads(out)
    assert (code, summary["rows"], summary["files"]) == (0, 1, 2)
    assert [row["file"] for row in summary["unreadable"]] == [str(tmp_path / "bad.png")]
    assert f"left out {tmp_path / 'bad.png'}: " in err


def test_strict_is_a_refusal_and_nothing_readable_an_error(
    score: Callable[..., tuple[int, str, str]], whole: Path, tmp_path: Path
) -> None:
    (tmp_path / "bad.png").write_bytes(b"x")
    assert score(whole / "picture.png", tmp_path / "bad.png", "--out", tmp_path / "a.csv", "--strict")[0] == 1
    code, out, err = score(tmp_path / "bad.png", "--out", tmp_path / "b.csv", "--json")
    assert code == 2
    assert "none of 1 files can" in json.loads(out)["error"]
    assert "Traceback" not in err
    assert not list(tmp_path.glob("*.csv"))


def test_without_the_extra_one_line_names_it(
    score: Callable[..., tuple[int, str, str]], whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    find = importlib.util.find_spec
    module = "pipelines.training.launchers.ray_cluster.find_spec"
    monkeypatch.setattr(module, lambda name: None if name == "ray" else find(name))
    code, _, err = score(whole / "picture.png", "--out", tmp_path / "a.csv", "--ray", "local")
    assert code == 2
    assert "ray is not installed; run `pip install 'modelyard[ray]'`" in err
    assert not (tmp_path / "a.csv").exists()
