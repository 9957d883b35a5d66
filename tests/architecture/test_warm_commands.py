"""A command that is forked for a test is a process of its own: its folder, environment, outputs, exit code and end."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest

sys.path.insert(0, str(Path(__file__).parents[1]))
from warm_commands import WarmCommands

SAYS = """
import os, sys
print(os.getcwd(), os.environ["WHO"], "LEFT" in os.environ, *sys.argv[1:])
print("x" * 200_000, file=sys.stderr)
os.environ["LEFT"] = "here"
sys.modules["left"] = sys
sys.exit(int(sys.argv[1]))
"""


def test_it_has_its_own_folder_environment_outputs_and_exit_code(warm: WarmCommands, tmp_path: Path) -> None:
    (tmp_path / "says.py").write_text(SAYS)
    environment = os.environ | {"WHO": "ada"}

    def say(code: int) -> subprocess.CompletedProcess[str]:
        return warm.run([str(code), "é"], tmp_path, module="says", environment=environment)

    with ThreadPoolExecutor(3) as callers:
        outcomes = list(callers.map(say, [0, 3, 2]))
    assert [outcome.returncode for outcome in outcomes] == [0, 3, 2]
    assert [outcome.stdout for outcome in outcomes] == [f"{tmp_path} ada False {code} é\n" for code in (0, 3, 2)]
    assert [outcome.stderr for outcome in outcomes] == ["x" * 200_000 + "\n"] * 3


def test_what_raises_ends_with_its_traceback(warm: WarmCommands, tmp_path: Path) -> None:
    (tmp_path / "raises.py").write_text("raise KeyError('gone')")
    outcome = warm.run([], tmp_path, module="raises")
    assert (outcome.returncode, "KeyError: 'gone'" in outcome.stderr) == (1, True)


def test_what_takes_too_long_is_ended(warm: WarmCommands, tmp_path: Path) -> None:
    (tmp_path / "sleeps.py").write_text(
        "import os, pathlib, time\npathlib.Path('pid').write_text(str(os.getpid()))\ntime.sleep(60)"
    )
    with pytest.raises(subprocess.TimeoutExpired):
        warm.run([], tmp_path, timeout=3, module="sleeps")
    pid = int((tmp_path / "pid").read_text())
    psutil.wait_procs([psutil.Process(pid)] if psutil.pid_exists(pid) else [], timeout=10)
    assert not psutil.pid_exists(pid)
