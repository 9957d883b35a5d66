"""A training that fails, is interrupted or is killed is recorded with its cost."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import nullcontext
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace

import pytest

from pipelines.training.interrupted import book_interrupted
from registry.amounts import round_usd
from registry.files import read_json
from registry.memory import MemoryLedger
from registry.money.prices import local_price
from registry.records import Actor
from registry.settings import Settings
from registry.spending import TrainingFailed

ADA = Actor("ada", proven=True)


class Fails:
    def __init__(self, error: BaseException) -> None:
        self.error = error

    def fit(self, *_: object) -> None:
        raise self.error


class Run:
    """What a run is told."""

    run_id, ended = "r1", True

    def __init__(self) -> None:
        self.told: dict[str, float] = {}

    def points(self, values: list[tuple[str, float, int, int]]) -> None:
        self.told |= {name: value for name, value, _, _ in values}

    def params(self, *_: object) -> None:
        return

    dataset = params


@pytest.mark.parametrize("error", [RuntimeError("CUDA out of memory"), KeyboardInterrupt()])
def test_a_training_that_fails_or_is_broken_off_is_in_the_books(error: BaseException, dataset) -> None:
    from pipelines.job.trainers import TorchTrainer
    from pipelines.training.train import train
    from pipelines.training.trainers.contract import Watch
    from pipelines.training.training import Training
    from registry.money.prices import local_price
    from registry.records import DataVerdict

    run, book = Run(), MemoryLedger()
    tracker = SimpleNamespace(run=lambda *_: nullcontext(run))
    verdict = DataVerdict(dataset="x", holds=True, errors=0, warnings=0)
    training = Training(
        Fails(error),
        TorchTrainer(),
        "torch",
        dataset,
        "hand",
        local_price(Settings(local_usd_per_hour=Decimal("0.05"))),
        ADA,
        verdict,
    )
    with pytest.raises(type(error)):
        train(SimpleNamespace(), book, tracker, training, Watch(), lambda _: None)
    (entry,) = book.entries("hand")
    assert isinstance(entry.event, TrainingFailed)
    assert entry.event.usd > 0
    assert entry.event.reason == (str(error) or "KeyboardInterrupt")
    assert run.told["cost_usd"] == float(entry.event.usd)


def test_a_training_that_was_killed_is_booked_by_whoever_looks_next(tmp_path: Path) -> None:
    code = """
import os, signal, sys, time
from decimal import Decimal
from pathlib import Path
from pipelines.training.interrupted import paid_for
from registry.memory import MemoryLedger
from registry.money.prices import local_price
from registry.settings import Settings
from registry.spending import TrainingFailed
told = {"seconds": 0, "hardware": "local: this machine", "usd": 0, "price_as_of": "2026-11-01", "reason": "its process was killed"}
failure = TrainingFailed(model="hand", trainer="torch", run_id="r9", **told)
with paid_for(Path(sys.argv[1]), MemoryLedger(), local_price(Settings(local_usd_per_hour=Decimal("0.05"))), failure):
    print("on", flush=True)
    time.sleep(60)
"""
    process = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    book, path = MemoryLedger(), tmp_path / "r9.json"
    assert process.stdout.readline() == "on\n"
    assert book_interrupted(tmp_path, book) == [], "it trains still"
    process.kill()
    process.wait()
    process.stdout.close()
    began = read_json(path)["began"]
    os.utime(path, (began + 90, began + 90))
    earlier = {"seconds": 1, "hardware": "local: here", "usd": 1, "price_as_of": "2026-11-01", "reason": "out of memory"}
    book.append(TrainingFailed(model="hand", trainer="torch", run_id="r8", **earlier))
    assert "failed after 90 s" in book_interrupted(tmp_path, book)[0], "whatever else the model's ledger has"
    _, entry = book.entries("hand")
    assert entry.event.usd == round_usd(
        Decimal(90) * local_price(Settings(local_usd_per_hour=Decimal("0.05"))).usd_per_hour / 3600
    )
    assert book_interrupted(tmp_path, book) == []
    assert not path.exists()
