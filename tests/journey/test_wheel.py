"""The wheel alone, in a fresh environment: it runs from `init` to `up`, or says in one line which extra is missing."""

from __future__ import annotations

import json
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from wheel_world import EXTRAS, WheelWorld, build_wheel, clean_environment

pytestmark = pytest.mark.journey

ARGUMENTS: dict[str, list[str]] = {
    "init": ["other.yaml"], "register": ["best.pt"], "evaluate": ["hand/1"], "export": ["hand/1", "--variant", "openvino"],
    "parity": ["hand/1"], "promote": ["hand/1", "staging"], "deploy": ["hand/1"], "gates": ["hand/1", "staging"],
    "approve": ["hand/1"], "rollback": ["hand"], "history": ["hand"], "verify": ["hand/1"], "diff": ["hand/1", "hand/1"],
    "predict": ["hand/1", "clips"], "score": ["clips", "--model", "hand/1", "--out", "a.csv"], "live": ["hand/1", "--source", "clips", "--json"], "report": ["page.html"], "serve": ["hand/1"], "space": ["hand/1", "--to", "page"], "web": ["hand/1"],
    "import": ["clips", "--name", "other"], "data diff": ["hand@1", "hand@1"], "data propose": ["--with", "hand/1"],
    "capture": ["--class", "fist", "--source", "clips"], "images": ["--to", "ghcr.io/you"],
    "budget show": ["hand"], "budget override": ["hand", "--reason", "x"],
    "budget person": ["ada", "--none"], "bills import": ["gone.csv"],
    "endpoint quote": ["staging"], "endpoint plan": ["staging"], "endpoint check": ["staging"], "endpoint status": ["hand@staging"], "endpoint logs": ["hand@staging"],
    "canary status": ["hand@staging"], "canary end": ["hand@staging", "--rollback"], "canary front": ["hand@staging"],
    "train": ["--trainers", "torch"], "collect": ["--once"], "up": ["--mlflow-port", "0", "--home", "another"], "dashboard": ["--port", "0"],
    "demo": ["--exit", "--trainers", "yolo,torch", "--home", "another"], "forecast": ["--requests", "5", "--service-ms", "20"],
}  # fmt: skip
STAY = {"clouds fake": set(), "up": {"dashboards"}, "dashboard": {"dashboards"}, "demo": {"torch", "yolo", "dashboards"}}
"""They run until they are stopped, or train: tried only where one of these extras is missing."""
SLOW = {"train": {"torch"}, "curve": {"torch"}, "export": {"torch", "openvino"}, "promote": {"torch"}}
"""They work for long where nothing is missing."""
NEEDS = {
    "torch,yolo": {"train", "evaluate", "export", "demo", "register", "curve"},
    "yolo": {"demo", "register"},
    "dashboards": {"up", "dashboard", "demo"},
    "openvino": {"export"},
    "postgresql,auth,runpod,labels": {"data label-errors"},
}
"""What has to name its extra. The other extras are for servers and clouds: nothing here asks for them."""


class Outcome(NamedTuple):
    """How one command ended."""

    code: object
    out: str
    err: str


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> WheelWorld:
    folder = tmp_path_factory.mktemp("wheel")
    return WheelWorld(folder / "venv", build_wheel(folder))


def one_line(done: Outcome | subprocess.CompletedProcess[str], words: str) -> None:
    code, err = (done.code, done.err) if isinstance(done, Outcome) else (done.returncode, done.stderr)
    lines = [line for line in err.splitlines() if not line.startswith("·")]
    assert (code, len(lines)) == (2, 1), err
    assert words in lines[0]


def up(world: WheelWorld, folder: Path, *options: str) -> tuple[subprocess.Popen[str], dict[str, Any]]:
    """`modelyard up`, and the addresses that it prints."""
    command = [world.folder / "bin/modelyard", "up", "--mlflow-port", "0", "--dashboard-port", "0", "--json", *options]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    process = subprocess.Popen(command, cwd=folder, env=clean_environment(), **pipes)
    assert process.stdout
    line = process.stdout.readline()
    assert line, process.communicate()[1]
    return process, json.loads(line)


def stop(process: subprocess.Popen[str]) -> None:
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)


def test_the_core_alone_runs_from_init_to_up(world: WheelWorld, clips: Path, tmp_path: Path) -> None:
    world.see(())
    shutil.copytree(clips, tmp_path / "clips")
    for command in ("init", "frames", "check", "schema", "prices", "costs"):
        done = world.run(command, cwd=tmp_path)
        assert done.returncode in ({0, 1} if command == "check" else {0}), (command, done.stderr)
        assert "Traceback" not in done.stderr
    process, addresses = up(world, tmp_path, "--no-dashboard")
    try:
        assert addresses["mlflow"].startswith("http://127.0.0.1:")
        done = world.run("status", "--json", cwd=tmp_path)
        assert (done.returncode, json.loads(done.stdout)) == (0, []), done.stderr
    finally:
        stop(process)
    refused = world.run("up", "--mlflow-port", "0", cwd=tmp_path)
    one_line(refused, "dashboard: streamlit is not installed; run `pip install 'modelyard[dashboards]'`")


def test_with_its_extras_it_runs_from_init_to_up_with_the_dashboard(world: WheelWorld, tmp_path: Path) -> None:
    world.see(EXTRAS)
    assert world.run("init", cwd=tmp_path).returncode == 0
    process, addresses = up(world, tmp_path)
    try:
        assert set(addresses) == {"mlflow", "dashboard"}
        code = "import pipelines, dashboards; print(pipelines.__file__)"
        done = subprocess.run([world.python, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path)
        assert done.stdout.startswith(str(world.folder)), "the wheel's code, not the source tree's"
    finally:
        stop(process)


def commands() -> list[str]:
    """Every command, from the program itself."""
    from typer.main import get_command

    from pipelines.cli.app import app

    def walk(command: Any, path: tuple[str, ...]) -> list[str]:
        if hasattr(command, "commands"):
            return [name for key, child in command.commands.items() for name in walk(child, (*path, key))]
        return [" ".join(path)]

    return walk(get_command(app), ())


@pytest.fixture(scope="module")
def yard(world: WheelWorld, clips: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with a running home, a data set, and a version of `hand`."""
    folder = tmp_path_factory.mktemp("yard")
    shutil.copytree(clips, folder / "clips")
    (folder / "best.pt").write_bytes(b"no checkpoint")
    world.see(EXTRAS)
    assert world.run("init", "--name", "hand", cwd=folder).returncode == 0
    job = folder / "modelyard.yaml"
    job.write_text(re.sub(r"(?m)^  - \{kind: tfjs.*\n", "", job.read_text()))  # needs an interpreter of its own, as Keras does
    assert world.run("frames", cwd=folder).returncode == 0
    process, _ = up(world, folder, "--no-dashboard")
    try:
        script = Path(__file__).with_name("wheel_version.py")
        subprocess.run([world.python, script], cwd=folder, env=clean_environment(), check=True, capture_output=True)
        yield folder
    finally:
        stop(process)


MISSING = ["torch,yolo", "dashboards", "yolo,huggingface,openvino", "postgresql,auth,runpod,labels", ",".join(EXTRAS)]
"""Extras that are missing together: those of one group are needed by different commands."""


@pytest.mark.parametrize(
    "missing", [MISSING[0], *(pytest.param(group, marks=pytest.mark.soak) for group in MISSING[1:-1]), MISSING[-1]]
)
def test_every_command_without_an_extra_works_or_names_it_in_one_line(world: WheelWorld, yard: Path, missing: str) -> None:
    absent = set(missing.split(","))  # Ultralytics needs PyTorch: it is never missing alone
    world.see(set(EXTRAS) - absent)
    tried = [name for name in commands() if absent & STAY.get(name, absent) and absent & SLOW.get(name, absent)]
    outcomes = dict(zip(tried, drive(world, yard, [[*name.split(), *ARGUMENTS.get(name, [])] for name in tried]), strict=True))
    for name, outcome in outcomes.items():
        assert outcome.code in {0, 1, 2}, (name, outcome)
        assert "Traceback" not in outcome.err + outcome.out, (name, outcome)
        if outcome.code == 2:
            one_line(outcome, "")
        if "is not installed" in outcome.err:
            assert any(f"modelyard[{extra}]" in outcome.err for extra in absent), (name, outcome)
    needing = NEEDS.get(missing, set().union(*NEEDS.values()) if absent == set(EXTRAS) else set())
    assert needing <= set(tried)
    for name in needing:
        one_line(outcomes[name], "is not installed; run `pip install 'modelyard[")


def drive(world: WheelWorld, folder: Path, lines: list[list[str]]) -> list[Outcome]:
    """Run commands one after the other in one process of the environment: starting one for each would take minutes."""
    driver = Path(__file__).with_name("wheel_driver.py")
    given = "".join(json.dumps(line) + "\n" for line in lines)
    done = subprocess.run(
        [world.python, driver], cwd=folder, input=given, env=clean_environment(), capture_output=True, text=True, check=False
    )
    answers = [json.loads(line.removeprefix("OUTCOME ")) for line in done.stdout.splitlines() if line.startswith("OUTCOME ")]
    assert len(answers) == len(lines), done.stderr[-2000:]
    return [Outcome(**answer) for answer in answers]


def test_a_ledger_on_postgresql_without_its_driver_names_the_extra(world: WheelWorld, tmp_path: Path) -> None:
    world.see(set(EXTRAS) - {"postgresql"})
    environment = clean_environment() | {"MODELYARD_LEDGER_URL": "postgresql+psycopg://ada:secret@127.0.0.1:9/x"}
    done = world.run("costs", cwd=tmp_path, env=environment)
    one_line(done, "ledger URL: psycopg is not installed; run `pip install 'modelyard[postgresql]'`")
    assert "secret" not in done.stderr
