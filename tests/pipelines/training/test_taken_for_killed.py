"""A training that goes on while somebody takes it for killed: it is not booked while that can be known, and never lost.

A stepped clock moves when processes seem to have started, and from another container none can be seen.
"""

from __future__ import annotations

import os
import sys
import time
from contextlib import suppress
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import psutil
import pytest

sys.path[:0] = [str(Path(__file__).parent)]
from paid_world import PRICE, Faults, World

from pipelines.training import interrupted
from pipelines.training.interrupted import book_interrupted, paid_for
from registry.events import Trained
from registry.files import read_json, write_json
from registry.memory import MemoryLedger
from registry.reports.costs import CostReport
from registry.spending import TrainingFailed


def killed() -> TrainingFailed:
    fields: dict[str, Any] = {"hardware": "local: here", "price_as_of": "2026-11-01", "reason": "its process was killed"}
    return TrainingFailed(model="hand", trainer="torch", run_id="r1", seconds=0, usd=Decimal(0), **fields)


def spent(ledger: MemoryLedger) -> Decimal:
    return CostReport.of(ledger.entries(), datetime.now(UTC)).training_usd


@pytest.mark.parametrize("step", [-86400.0, -3.0, 3.0, 3600.0])
@pytest.mark.parametrize("age", [0.0, 3600.0, -3600.0])
def test_a_stepped_clock_books_no_run_that_trains(
    step: float, age: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started = psutil.Process.create_time
    ledger = MemoryLedger()
    with paid_for(tmp_path, ledger, PRICE, killed()) as payment:
        touched = time.time() - age
        os.utime(tmp_path / "r1.json", (touched, touched))
        monkeypatch.setattr(psutil.Process, "create_time", lambda process: started(process) + step)
        assert book_interrupted(tmp_path, ledger) == []
        assert (tmp_path / "r1.json").exists()
        payment.book([killed()])


@pytest.mark.parametrize(
    "fields", [{"space": "another boot, another container"}, {"space": "", "ticks": 0}], ids=["new", "old"]
)
def test_a_process_that_cannot_be_seen_lives_as_long_as_it_touches_its_note(fields: dict[str, object], tmp_path: Path) -> None:
    ledger, path = MemoryLedger(), tmp_path / "r1.json"
    with paid_for(tmp_path, MemoryLedger(), PRICE, killed()) as payment:
        note = read_json(path) | {"pid": 2**30} | fields
        payment.book([killed()])
    write_json(path, note)
    for age in (0, 15, -15):
        os.utime(path, (time.time() - age, time.time() - age))
        assert book_interrupted(tmp_path, ledger) == [], f"touched {age} s ago"
    write_json(path, note | {"given_up": True})
    assert len(book_interrupted(tmp_path, ledger)) == 1, "its process said that it does nothing more"
    write_json(path, note | {"event": note["event"] | {"run_id": "r2"}})
    os.utime(path, (time.time() - 60, time.time() - 60))
    assert len(book_interrupted(tmp_path, ledger)) == 1, "nobody has touched it for a minute"


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="no process start in ticks here")
def test_another_process_under_the_same_id_is_not_the_one_that_trained(tmp_path: Path) -> None:
    ledger, path = MemoryLedger(), tmp_path / "r1.json"
    with paid_for(tmp_path, MemoryLedger(), PRICE, killed()) as payment:
        note = read_json(path)
        payment.book([killed()])
    write_json(path, note | {"ticks": note["ticks"] - 1})
    assert len(book_interrupted(tmp_path, ledger)) == 1


def test_a_run_that_is_taken_for_killed_at_any_call_has_its_version_and_is_paid_once(
    tmp_path: Path, dataset: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether it ends well, or fails at any call after that."""
    whole = World(tmp_path / "whole", dataset, Faults(0, RuntimeError(), after=False), monkeypatch)
    whole.train()
    calls, taken_over = len(whole.faults.calls), 0
    for taken in range(1, calls + 1):
        for failing in sorted({0, taken + 1, calls - 2}):
            world = World(tmp_path / f"{taken} {failing}", dataset, Faults(failing, RuntimeError(), after=False), monkeypatch)
            _take_for_killed(world, taken, monkeypatch)
            with suppress(RuntimeError):
                world.train()
            with monkeypatch.context() as gone:
                gone.setattr(interrupted, "_lives", lambda *_: False)
                book_interrupted(world.underway, world.ledger)
            rows = [row.event for row in world.ledger.entries() if row.event.kind in {"trained", "training_failed"}]
            taken_over += len(rows) == 2
            if failing == 0:
                assert isinstance(rows[-1], Trained), f"call {taken}: the version's row is lost"
            if world.trained:
                assert abs(spent(world.ledger) - expected(world)) <= Decimal("0.0001"), (taken, failing)
            assert list(world.underway.glob("*")) == []
    assert taken_over > calls // 2, "most calls are made while the run may be taken for killed"


def expected(world: World) -> Decimal:
    return Decimal(world.trained) * PRICE.usd_per_hour / 3600


def _take_for_killed(world: World, call: int, monkeypatch: pytest.MonkeyPatch) -> None:
    def look(moment: str) -> None:
        if len(world.faults.calls) == call and "MemoryLedger" not in moment:  # there the booker waits for the lock
            world.faults.look = lambda _: None
            with monkeypatch.context() as unseen:
                unseen.setattr(interrupted, "_lives", lambda *_: False)
                book_interrupted(world.underway, world.ledger)

    world.faults.look = look


def test_a_run_that_was_taken_for_killed_says_again_that_it_trains(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(interrupted, "_BEAT_S", 0.01)
    path, deadline = tmp_path / "r1.json", time.monotonic() + 10
    with paid_for(tmp_path, MemoryLedger(), PRICE, killed()) as payment:
        path.unlink()
        while not path.exists():
            assert time.monotonic() < deadline
            time.sleep(0.01)
        payment.book([killed()])
    assert not path.exists()
