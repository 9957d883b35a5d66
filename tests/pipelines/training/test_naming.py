"""Names of runs that say how runs differ, and the code that trained them."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.job.trainers import TorchTrainer
from pipelines.training.code import code_tags
from pipelines.training.naming import distinct_name, first_name, full_name
from pipelines.training.trainers.contract import Fitted
from registry.records import Record
from serving.bundle.modelinfo import ModelInfo, write_info
from serving.bundle.preprocess import Preprocess

PARAMS = {"seed": 0, "lr0": 0.004, "epochs": None, "dataset_version": "hand@2"}


def test_a_name_is_by_what_was_trained(tmp_path: Path) -> None:
    assert first_name(TorchTrainer(arch="resnet18"), "torch") == "torch resnet18"
    assert first_name(Record(), "torch") == "torch"
    assert full_name(Fitted(tmp_path, name="torch efficientnet_lite0 224 frozen"), TorchTrainer(), "torch") == (
        "torch efficientnet_lite0 224 frozen"
    )
    assert full_name(Fitted(tmp_path), TorchTrainer(arch="resnet18"), "torch") == "torch resnet18"
    write_info(tmp_path, ModelInfo("torch", "resnet18", "torch", ["a"], Preprocess(size=96), "d"))
    assert full_name(Fitted(tmp_path), TorchTrainer(arch="resnet18"), "torch") == "torch resnet18 96"


@pytest.mark.parametrize(
    ("changed", "name"),
    [
        ({"seed": 1}, "torch x 64 seed 1"),
        ({"seed": 1, "lr0": 0.01}, "torch x 64 seed 1 lr0 0.01"),
        ({"dataset_version": "hand@3"}, "torch x 64 dataset_version hand@3"),
        ({}, "torch x 64 2"),
        ({"epochs": None}, "torch x 64 2"),
        ({"seed": 9}, "torch x 64 seed 9 3"),
    ],
)
def test_a_second_run_of_a_name_says_what_differs(changed: dict[str, object], name: str) -> None:
    earlier = {key: str(value) for key, value in PARAMS.items()}
    others = {"torch x 64": earlier, "torch x 64 seed 9": earlier, "torch x 64 seed 9 2": earlier}
    assert distinct_name("torch x 64", PARAMS | changed, others) == name
    assert distinct_name("torch x 64", PARAMS | changed, {}) == "torch x 64"


@given(st.lists(st.fixed_dictionaries({"seed": st.integers(0, 2), "lr0": st.sampled_from([0.1, 0.2])}), max_size=12))
def test_no_two_runs_are_called_the_same(runs: list[dict[str, object]]) -> None:
    others: dict[str, dict[str, str]] = {}
    for params in runs:
        name = distinct_name("torch x 64", params, others)
        assert name not in others
        others[name] = {key: str(value) for key, value in params.items()}
    assert len(others) == len(runs)


def git(folder: Path, *command: str) -> str:
    identity = ("-c", "user.name=ada", "-c", "user.email=ada@example.org", "-c", "commit.gpgsign=false")
    return subprocess.run(["git", "-C", folder, *identity, *command], check=True, capture_output=True, text=True).stdout


@pytest.mark.skipif(shutil.which("git") is None, reason="needs git")
def test_the_checkout_that_trained_is_named_without_its_password(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert set(code_tags(tmp_path)) == {"modelyard.release"}
    git(tmp_path, "init", "-q", "-b", "main")
    assert set(code_tags(tmp_path)) == {"modelyard.release"}  # no commit yet
    (tmp_path / "job.yaml").write_text("model: hand\n")
    git(tmp_path, "add", "job.yaml")
    git(tmp_path, "commit", "-qm", "job")
    git(tmp_path, "remote", "add", "origin", "https://ada:s3cret@example.org/hand.git")
    commit = git(tmp_path, "rev-parse", "HEAD").strip()
    (tmp_path / "notes.txt").write_text("not part of it")
    assert code_tags(tmp_path) == {
        "modelyard.release": code_tags(Path("/"))["modelyard.release"],
        "mlflow.source.git.commit": commit,
        "mlflow.source.git.branch": "main",
        "mlflow.source.git.dirty": "false",
        "mlflow.source.git.repoURL": "https://example.org/hand.git",
    }
    (tmp_path / "job.yaml").write_text("model: feet\n")
    assert code_tags(tmp_path)["mlflow.source.git.dirty"] == "true"
    git(tmp_path, "checkout", "-q", "--detach")
    assert "mlflow.source.git.branch" not in code_tags(tmp_path)


def test_a_checkout_runs_no_program_of_its_own_and_no_git_is_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if shutil.which("git"):
        git(tmp_path, "init", "-q")
        (tmp_path / "spy").write_text(f"#!/bin/sh\ntouch {tmp_path}/ran\n")
        (tmp_path / "spy").chmod(0o755)
        git(tmp_path, "config", "core.fsmonitor", str(tmp_path / "spy"))
        code_tags(tmp_path)
        assert not (tmp_path / "ran").exists()
    monkeypatch.setenv("PATH", "")
    assert set(code_tags(tmp_path)) == {"modelyard.release"}
