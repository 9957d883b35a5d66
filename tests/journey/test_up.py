"""`modelyard up` without a model: what one that was killed left running is ended by the next."""

from __future__ import annotations

import json
import time
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


def test_the_collector_runs_beside_it_sets_a_damaged_file_aside_and_ends_with_it(tmp_path: Path, up) -> None:
    home = tmp_path / "home"
    home.mkdir()
    (home / "metrics.db").write_bytes(b"no database" * 1000)
    with up(home, "--no-dashboard") as (process, _):
        pids = json.loads((home / "up.json").read_text())["pids"]
        (collector,) = (psutil.Process(number) for number in pids if "collect" in psutil.Process(number).cmdline())
        assert "MLFLOW_WEBHOOK_SECRET_ENCRYPTION_KEY" not in collector.environ()
        log, deadline = home / "logs" / "collector.log", time.monotonic() + 60
        while "kept as metrics.db.damaged" not in log.read_text():
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.2)
        assert process.poll() is None
        assert collector.memory_info().rss < 200_000_000
    assert not collector.is_running()
    assert sorted(path.name for path in home.glob("metrics.db*")) == ["metrics.db", "metrics.db.damaged"]
