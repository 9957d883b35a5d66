"""`modelyard up` without a model: what one that was killed left running is ended by the next."""

from __future__ import annotations

import json
from pathlib import Path

import psutil
import pytest

pytestmark = pytest.mark.journey


def test_what_a_killed_up_left_running_is_ended_by_the_next(tmp_path: Path, up) -> None:
    home = tmp_path / "home"
    with up(home, "--no-dashboard") as (process, _):
        process.kill()
        process.wait()
    orphans = json.loads((home / "up.json").read_text())["pids"]
    assert all(psutil.pid_exists(number) for number in orphans)
    with up(home, "--no-dashboard") as (_, addresses):
        assert addresses["mlflow"]
        assert not [n for n in orphans if psutil.pid_exists(n) and psutil.Process(n).status() != psutil.STATUS_ZOMBIE]
