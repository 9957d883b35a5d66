"""Bad input gets one clear line and exit code 2; `--help` is quick; `--json` says the same to machines."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

pytestmark = pytest.mark.journey  # each command is a process of its own
Run = Callable[..., subprocess.CompletedProcess[str]]
COMMANDS = [
    "init",
    "schema",
    "frames",
    "check",
    "train",
    "evaluate",
    "promote",
    "export",
    "deploy",
    "predict",
    "status",
    "costs",
    "up",
    "demo",
    "reconcile",
]


def one_line(done: subprocess.CompletedProcess[str], message: str) -> None:
    assert done.returncode == 2, done.stderr
    lines = [line for line in done.stderr.splitlines() if not line.startswith("·")]
    assert len(lines) == 1, done.stderr
    assert lines[0].startswith("modelyard: ")
    assert message in lines[0]


@pytest.fixture
def job(modelyard: Run, tmp_path: Path) -> Path:
    assert modelyard("init").returncode == 0
    return tmp_path / "modelyard.yaml"


def test_help_names_every_command(modelyard: Run) -> None:
    shown = modelyard("--help").stdout
    assert all(command in shown for command in COMMANDS)


@pytest.mark.parametrize("group", [(), ("budget",), ("ledger",), ("canary",), ("endpoint",), ("notify",)])
def test_by_itself_it_prints_its_help_and_nothing_is_wrong(modelyard: Run, group: tuple[str, ...]) -> None:
    done = modelyard(*group)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == modelyard(*group, "--help").stdout


def test_it_says_its_version_and_offers_completion(modelyard: Run) -> None:
    from importlib.metadata import version

    assert modelyard("--version").stdout == f"modelyard {version('modelyard')}\n"
    command = f"{sys.executable} -m pipelines.cli.main --show-completion; true"  # Typer asks which shell started it
    shown = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=True).stdout
    assert "_MODELYARD_COMPLETE=complete_bash" in shown


@pytest.mark.parametrize(
    ("typed", "line"),
    [
        (["prmote"], "modelyard: command 'prmote': does not exist; did you mean promote or approve?"),
        (["budget", "sow"], "modelyard: command 'sow': does not exist; did you mean show?"),
        (["xyzzy"], "modelyard: command 'xyzzy': does not exist; see `modelyard --help`"),
        (["frame"], "modelyard: command 'frame': does not exist; did you mean frames?"),
        (["frames", "--clip"], "modelyard: option '--clip': does not exist; did you mean --clips or --help?"),
        (["status", "--jsn"], "modelyard: option '--jsn': does not exist; did you mean --json?"),
        (["status", "--qqqqqq"], "modelyard: option '--qqqqqq': does not exist; see `modelyard --help`"),
        (["promote"], "modelyard: command line: Missing argument 'REF'; see `modelyard --help`"),
    ],
)
def test_what_is_mistyped_is_one_line_with_what_is_spelled_alike(modelyard: Run, typed: list[str], line: str) -> None:
    done = modelyard(*typed)
    assert (done.returncode, done.stdout, done.stderr) == (2, "", f"{line}\n")


def test_a_canary_is_looked_at_without_a_server(modelyard: Run) -> None:
    one_line(modelyard("canary", "status", "hand@production"), "hand@production: has no canary")
    one_line(modelyard("canary", "front", "hand@production"), "hand@production: has no canary")


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_and_speaks_json(modelyard: Run, command: str) -> None:
    shown = modelyard(command, "--help")
    assert shown.returncode == 0
    assert "--json" in shown.stdout


def test_init_writes_a_job_file_and_says_so_to_machines(modelyard: Run, tmp_path: Path) -> None:
    done = modelyard("init", "--json")
    assert json.loads(done.stdout) == {"job": "modelyard.yaml"}
    assert (tmp_path / "modelyard.yaml").exists()
    one_line(modelyard("init"), "exists already")


def test_schema_is_a_json_schema(modelyard: Run) -> None:
    schema = json.loads(modelyard("schema").stdout)
    assert "train" in schema["properties"]
    assert json.loads(modelyard("schema", "--json").stdout) == schema


def test_an_error_is_json_too_where_json_is_asked_for(modelyard: Run) -> None:
    done = modelyard("frames", "--json")
    assert done.returncode == 2
    assert json.loads(done.stdout)["remedy"] == "write one with `modelyard init`"


@pytest.mark.parametrize(
    "arguments", [["promote", "hand/1"], ["up", "--mlflow-port", "x"], ["status", "--home"], ["status", "--json=3"]]
)
def test_what_is_missing_or_of_another_kind_is_one_line(modelyard: Run, arguments: list[str]) -> None:
    one_line(modelyard(*arguments), "command line")


def test_frames_from_clips_and_their_manifest(modelyard: Run, job: Path, clips: Path, tmp_path: Path) -> None:
    shutil.copytree(clips, tmp_path / "clips")
    manifest = json.loads(modelyard("frames", "--json").stdout)
    assert manifest["labels"] == ["0", "1", "2"]
    assert sum(manifest["clips"].values()) == 18
    assert (tmp_path / ".modelyard" / "datasets" / "hand" / "manifest.json").exists()
    assert "split" in modelyard("frames").stdout


def test_bad_folders_are_one_line(modelyard: Run, job: Path, clips: Path, tmp_path: Path) -> None:
    one_line(modelyard("frames"), "there is no such folder of clips")
    (tmp_path / "clips").mkdir()
    one_line(modelyard("frames"), "expected a folder per class")
    shutil.copytree(clips / "0", tmp_path / "clips" / "0")
    one_line(modelyard("frames"), "one class only")
    shutil.copytree(clips / "1", tmp_path / "clips" / "1")
    (tmp_path / "clips" / "1" / "fake.mp4").write_text("fake")
    one_line(modelyard("frames"), "fake.mp4: is not a video")
    assert not (tmp_path / ".modelyard").exists()


def test_a_damaged_clip_is_a_warning_and_strictly_one_line(
    modelyard: Run, job: Path, clips: Path, tmp_path: Path, shared: Path
) -> None:
    shutil.copytree(clips, tmp_path / "clips")
    shutil.copy(shared / "tree.avi", tmp_path / "clips" / "1" / "tree.avi")
    one_line(modelyard("frames", "--strict"), "tree.avi: is not whole: 68 of 444 frames decode")
    assert [path for path in tmp_path.glob(".modelyard/**/*") if path.is_file()] == []
    done = modelyard("frames")
    assert done.returncode == 0
    assert "warning: 1/tree.avi: is not whole: 68 of 444 frames decode" in done.stderr
    assert "tree.avi" in done.stdout


def test_an_unknown_key_is_one_line_with_the_nearest(modelyard: Run, job: Path) -> None:
    job.write_text(job.read_text().replace("task: classify", "taks: classify"))
    one_line(modelyard("frames"), "did you mean 'task'")


def test_an_unknown_stage_is_one_line(modelyard: Run, job: Path) -> None:
    one_line(modelyard("promote", "hand/1", "prod"), "expected one of staging, production, archived")


def test_a_reference_that_is_none_is_one_line(modelyard: Run, job: Path) -> None:
    one_line(modelyard("promote", "hand//1", "staging"), "expected NAME, NAME/VERSION or NAME@ALIAS")


@pytest.mark.parametrize(
    "arguments",
    [
        ["status"],
        ["promote", "hand/1", "staging"],
        ["export", "hand/1"],
        ["deploy", "hand/1"],
        ["predict", "hand/1", "modelyard.yaml"],
    ],
    ids=lambda given: given[0],
)
def test_a_server_that_never_ran_is_one_line(modelyard: Run, job: Path, arguments: list[str]) -> None:
    one_line(modelyard(*arguments), "start it with `modelyard up`")


def test_a_server_that_is_down_is_one_line_within_seconds(modelyard: Run, job: Path, monkeypatch) -> None:
    monkeypatch.setenv("MODELYARD_MLFLOW_URI", "http://127.0.0.1:9")
    one_line(modelyard("status", timeout=30), "does not answer")


def test_a_setting_that_cannot_be_used_is_one_line(modelyard: Run, monkeypatch) -> None:
    monkeypatch.setenv("MODELYARD_LOCAL_USD_PER_HOUR", "abc")
    one_line(modelyard("costs"), "MODELYARD_LOCAL_USD_PER_HOUR")
    monkeypatch.delenv("MODELYARD_LOCAL_USD_PER_HOUR")
    monkeypatch.setenv("MODELYARD_MLFLOW_URI", "http://127.0.0.1:9")
    one_line(modelyard("up"), "unset it")


def test_a_job_of_another_model_is_one_line(modelyard: Run, job: Path) -> None:
    one_line(modelyard("promote", "foot/1", "staging", "--job", job), "is the job of 'hand', not of 'foot'")


def test_a_port_that_is_taken_is_one_line(modelyard: Run) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        one_line(modelyard("up", "--mlflow-port", port, "--no-dashboard"), f"port {port}: is taken")
        one_line(modelyard("up", "--mlflow-port", 0, "--dashboard-port", port), f"port {port}: is taken")


def test_a_disk_that_takes_no_more_is_one_line_and_leaves_nothing(clips: Path, tmp_path: Path, job: Path) -> None:
    """A file-size limit of the kernel stands in for a full disk: frames are refused for real."""
    import sys

    shutil.copytree(clips, tmp_path / "clips")
    script = (
        "import resource, signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN);"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000));"
        "from pipelines.cli.main import main; main(['frames'])"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=False)
    one_line(done, "could not be written")
    assert [path for path in (tmp_path / ".modelyard").rglob("*") if path.is_file()] == []


def test_predicting_from_a_url_that_is_dead_or_an_image_that_is_none(modelyard: Run, job: Path) -> None:
    one_line(modelyard("predict", "http://127.0.0.1:9", job), "does not answer")
    one_line(modelyard("predict", "http://127.0.0.1:9", "nothing.jpg"), "cannot be read")


def test_trainers_that_do_not_exist_are_one_line(modelyard: Run, job: Path) -> None:
    one_line(modelyard("train", "--trainers", "yolo,jax"), "expected one of yolo, torch, keras")
    one_line(modelyard("train", "--trainers", "torch"), "does not hold a data set")
    one_line(modelyard("demo", "--trainers", "jax"), "jax")
    one_line(modelyard("demo", "--clips", "nowhere"), "no such folder")
    one_line(modelyard("demo", "--clips", "a", "--images", "b"), "only one of them")


def test_costs_of_a_home_where_nothing_happened_are_nothing(modelyard: Run) -> None:
    report = json.loads(modelyard("costs", "--json").stdout)
    assert report["lines"] == []
    assert report["training_usd"] == "0"
