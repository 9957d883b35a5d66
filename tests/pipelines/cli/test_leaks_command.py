"""`data leaks` names them and shows them side by side; `check` refuses them, or passes them by a policy."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import cv2
import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "data" / "leaks"))
from leaky_sets import CLEAN, frame, room, takes, write_set

from pipelines.cli.app import run

JOB = "model: rooms\ntrain: [{kind: torch}]\n"


def exit_code(*arguments: str) -> int:
    with pytest.raises(SystemExit) as leaving:
        run(arguments)
    return int(leaving.value.code or 0)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "modelyard.yaml").write_text(JOB)
    return tmp_path


def leaky(folder: Path) -> None:
    from dataclasses import replace

    shots = takes(CLEAN)
    write_set(folder, [replace(s, image=frame(room(3), 500 + i)) if s.split == "test" else s for i, s in enumerate(shots)])


def test_leaks_are_named_with_their_share_and_shown_side_by_side(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    leaky(here / "set")
    assert exit_code("data", "leaks", "--data", "set", "--report", "pairs", "--json") == 1
    document = json.loads(capsys.readouterr().out)
    assert document["leaked_share"] == {"val": 0.0, "test": 1.0}
    assert {pair["split_a"] for pair in document["pairs"]} == {"train"}
    kinds = list(document["kinds"])
    for kind in kinds:
        sheet = cv2.imread(str(here / "pairs" / f"{kind}.png"))
        assert sheet.shape[1] > 800
        assert f"{kind}.png" in (here / "pairs" / "index.html").read_text()
    assert exit_code("data", "leaks", "--data", "set") == 1
    assert "24 of 24 images" in " ".join(capsys.readouterr().out.split())


def test_a_report_is_never_written_over_what_is_there(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    leaky(here / "set")
    (here / "pairs").mkdir()
    assert exit_code("data", "leaks", "--data", "set", "--report", "pairs") == 2
    assert "exists already" in capsys.readouterr().err


def test_a_set_without_leaks_exits_with_0_and_no_job_file_is_needed(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_set(here / "set", takes(CLEAN))
    (here / "modelyard.yaml").unlink()
    assert exit_code("data", "leaks", "--data", "set") == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "no held-out picture is leaked" not in shown
    assert "groups are unknown" in shown


def test_check_refuses_what_leaks_and_a_policy_allows_it(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    leaky(here / "set")
    assert exit_code("check", "--data", "set", "--json") == 1
    document = json.loads(capsys.readouterr().out)
    assert (document["leaks"], document["leaked_share"]) == (24, 1.0)
    assert any("are leaked by the same scene" in text for text in document["errors"])
    assert (here / ".modelyard" / "reports" / "rooms" / "leaks" / "index.html").is_file()
    (here / "modelyard.yaml").write_text(JOB + "data: {leaks: allow}\n")
    assert exit_code("check", "--data", "set", "--json") == 0
    document = json.loads(capsys.readouterr().out)
    assert any(text.startswith("allowed by the policy: 100% of test") for text in document["warnings"])
