"""`modelyard check`: what it prints, writes and exits with, for each way to weigh a check."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from pipelines.data.dataset import MANIFEST, DataSet
from registry.files import read_json, write_json
from validation.data.catalogue import CHECKS

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def leaky(dataset: DataSet, tmp_path: Path) -> Path:
    """A data set of which one frame's clip is in two splits."""
    folder = Path(shutil.copytree(dataset.folder, tmp_path / "leaky"))
    manifest = read_json(folder / MANIFEST)
    frame = manifest["frames"][0]
    frame["split"] = "val" if frame["split"] != "val" else "train"
    write_json(folder / MANIFEST, manifest)
    return folder


def job(tmp_path: Path, checks: str) -> Path:
    path = tmp_path / "job.yaml"
    path.write_text(f"model: digits\ntrain: [{{kind: torch}}]\ndata: {{checks: {checks}}}\n")
    return path


@pytest.mark.parametrize(
    ("checks", "code", "outcome"),
    [
        ("strict", 1, "error"),
        ("warn", 0, "error"),
        ("{clip-leak: warn, leaks: off}", 0, "warning"),
        ("{clip-leak: off, leaks: off}", 0, None),
        ("off", 0, None),
        ("{default: off, clip-leak: strict}", 1, "error"),
        ("{default: warn, clip-leak: strict}", 1, "error"),
    ],
)
def test_the_job_file_decides_what_a_failed_check_comes_to(
    checks: str, code: int, outcome: str | None, leaky: Path, tmp_path: Path, modelyard: Run
) -> None:
    done = modelyard("check", "--data", leaky, "--job", job(tmp_path, checks), "--home", tmp_path / "home", "--json")
    assert done.returncode == code, done.stderr
    document = json.loads(done.stdout)
    outcomes = {finding["check"]: finding["outcome"] for finding in document["findings"]}
    assert outcomes.get("clip-leak") == outcome
    assert ("clip-leak" in document["off"]) == (outcome is None)
    assert document["lowered"] == (["clip-leak"] if outcome == "warning" else [])
    assert read_json(tmp_path / "home" / "reports" / "digits" / "report.json")["off"] == document["off"]
    assert Path(tmp_path / document["docs"]).is_file()


def test_a_data_set_is_checked_without_a_job_file(leaky: Path, tmp_path: Path, modelyard: Run) -> None:
    done = modelyard("check", "--data", leaky)
    assert done.returncode == 1, done.stderr
    assert "clip-leak" in done.stdout
    assert (tmp_path / ".modelyard" / "reports" / "leaky" / "report.json").is_file()
    without = modelyard("check")
    assert (without.returncode, "there is no job file here" in without.stderr) == (2, True)


def test_a_single_check_is_made_alone_and_leaves_the_whole_report_as_it_was(
    leaky: Path, tmp_path: Path, modelyard: Run
) -> None:
    options = ("--data", leaky, "--job", job(tmp_path, "{blur: off}"), "--json")
    done = modelyard("check", *options, "--check", "blur", "--check", "size")
    assert done.returncode == 0, done.stderr
    assert {finding["check"] for finding in json.loads(done.stdout)["findings"]} == {"blur", "size"}
    assert not (tmp_path / ".modelyard" / "reports" / "digits").exists()
    refused = modelyard("check", *options, "--check", "blurr")
    assert refused.returncode == 2
    assert "did you mean 'blur'?" in refused.stderr


def test_all_checks_are_listed_with_their_levels_without_any_data(tmp_path: Path, modelyard: Run) -> None:
    rows = json.loads(modelyard("check", "--list", "--json").stdout)
    assert [row["check"] for row in rows] == list(CHECKS)
    assert all(row["asks"] and row["why"] and row["level"] == row["default"] for row in rows)
    rows = json.loads(modelyard("check", "--list", "--json", "--job", job(tmp_path, "{blur: strict}")).stdout)
    assert {row["check"]: row["level"] for row in rows}["blur"] == "strict"
    shown = modelyard("check", "--list").stdout
    assert all(name in shown for name in CHECKS)
    assert not (tmp_path / ".modelyard").exists()
