"""Whatever fails in a training, and wherever: it is booked exactly once, at what it used, and no note of it stays.

Every call that training makes on the outside (MLflow's run, the registry, the ledger, the note on disk, what is said) fails in
turn, before or after it has had its effect; then the next command comes. Or the process is killed at
that moment. The same for two bookers at once, and for notes of older releases.
"""

from __future__ import annotations

import errno
import multiprocessing
import os
import sys
from contextlib import suppress
from datetime import UTC, datetime
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any

import pytest

sys.path[:0] = [str(Path(__file__).parent)]
from paid_world import PRICE, SECONDS, Faults, World

from pipelines.training import interrupted
from pipelines.training.interrupted import book_interrupted, paid_for
from registry.amounts import round_usd
from registry.errors import InputError, ModelyardError, NotFoundError, StorageError, UnavailableError
from registry.events import Trained
from registry.files import write_json
from registry.memory import MemoryLedger
from registry.reports.costs import CostReport
from registry.spending import TrainingFailed

UNLINK = Path.unlink
USD = round_usd(Decimal(int(SECONDS)) * PRICE.usd_per_hour / 3600)
ERRORS = [
    UnavailableError("MLflow server", "stopped answering", "start it"),
    StorageError("ledger", "could not be written", "free some space"),
    OSError(errno.ENOSPC, "No space left on device"),
    RuntimeError("a bug"),
    KeyboardInterrupt(),
]


def calls_of_a_whole_training(tmp_path: Path, dataset: object, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    world = World(tmp_path, dataset, Faults(0, RuntimeError(), after=False), monkeypatch)
    world.train()
    return world.faults.calls


def spent(world: World) -> Decimal:
    return CostReport.of(world.ledger.entries(), datetime.now(UTC)).training_usd


def end_well(world: World, before: World, moment: str, gone: pytest.MonkeyPatch) -> None:
    """Whatever a process has left: the next command books it, MLflow is told, and resuming ends in one version, paid once."""
    gone.setattr(interrupted, "_lives", lambda *_: False)  # the process before has ended
    book_interrupted(world.underway, world.ledger)
    book_interrupted(world.underway, world.ledger)
    counted = [row.event for row in world.ledger.entries() if isinstance(row.event, (Trained, TrainingFailed))]
    assert len(counted) <= 1, moment
    paid = sum(event.seconds for event in counted)  # of one that was killed, by its note's age: nearly nothing on this clock
    killed = moment.startswith(("before", "after"))
    assert paid < 30 if killed and paid != before.trained else abs(paid - before.trained) < 1, (
        f"{moment}: booked is what was used"
    )
    world.upload()
    rows = world.ledger.entries()
    if not any(isinstance(row.event, Trained) for row in rows):
        if not (world.trainings / "r1").exists():
            assert before.trained == 0, f"{moment}: nothing is left to go on with"
            with pytest.raises(NotFoundError, match="names no training that was broken off here"):
                world.go_on()
            return
        world.go_on()
    (version,) = [version for version in world.store.versions("hand") if version.run_id == "r1"]
    (row,) = [row.event for row in world.ledger.entries() if isinstance(row.event, Trained)]
    assert (row.run_id, row.version) == ("r1", version.version), moment
    assert row.seconds == paid + world.trained, moment
    expected = Decimal(row.seconds) * PRICE.usd_per_hour / 3600
    assert abs(spent(world) - expected) < Decimal("0.0002"), moment
    assert world.mlflow.epochs() == [1, 2], f"{moment}: each epoch is logged once"
    assert {"plots/curves.png", "training"} <= world.mlflow.kept_files, moment
    assert world.mlflow.status == "FINISHED", moment
    assert list(world.underway.glob("*")) == [], f"{moment}: a note stays"
    assert list(world.trainings.glob("*/training.json")) == [], f"{moment}: a folder stays"
    with pytest.raises(InputError, match=f"has ended well: it is hand/{version.version}"):
        world.go_on()


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_whatever_call_fails_a_run_is_booked_once_and_resuming_it_ends_well(
    error: BaseException, after: bool, tmp_path: Path, dataset: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = calls_of_a_whole_training(tmp_path / "whole", dataset, monkeypatch)
    assert {"run starts", "note", "Run.model", "MemoryStore.fetch", "MemoryLedger.append_all", "run ends"} <= set(names)
    waits = isinstance(error, UnavailableError)
    for at, name in enumerate(names, 1):
        world = World(tmp_path / str(at), dataset, Faults(at, error, after=after), monkeypatch)
        ended_well = False
        with suppress(BaseException):
            world.train()
            ended_well = True
        mlflows = name == "run ends" or name.startswith(("Run.", "MemoryStore."))  # a server that is away is waited for
        unlogged = name.startswith("Run.") and name != "Run.model" and isinstance(error, ModelyardError)
        assert not ended_well or name == "note" or (waits and mlflows) or unlogged, f"{name} failed unseen"
        if unlogged and not waits:
            assert any("not logged" in line for line in world.lines), name
            continue
        with monkeypatch.context() as gone:
            end_well(World(tmp_path / f"next {at}", dataset, Faults(0, error, after=False), gone, world), world, name, gone)


def test_a_process_that_is_killed_at_any_call_is_resumed_to_one_version_that_is_paid_once(
    tmp_path: Path, dataset: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What lies on disk, in MLflow and in the ledger at that moment is all that the next command has. It may be killed too."""
    world = World(tmp_path / "first", dataset, Faults(0, RuntimeError(), after=False), monkeypatch)
    moments = list[str]()

    def die(moment: str) -> None:
        world.faults.look = lambda _: None
        with monkeypatch.context() as gone:
            here = tmp_path / str(len(moments))
            end_well(World(here, dataset, Faults(0, RuntimeError(), after=False), gone, world), world, moment, gone)
        moments.append(moment)
        world.faults.look = die

    world.faults.look = die
    monkeypatch.setattr(Path, "unlink", lambda path, **values: world.faults.call("unlink", partial(UNLINK, path, **values)))
    world.train()
    assert {"before checkpoint", "after Run.model", "before MemoryLedger.append_all", "before run ends"} <= set(moments)


def test_a_ledger_that_cannot_be_written_leaves_a_note_that_even_a_living_process_gets_booked_by(
    tmp_path: Path, dataset: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such as a demo or a notebook that goes on after its training failed."""

    class Full(MemoryLedger):
        def append_all(self, _: object) -> list[Any]:
            raise StorageError("ledger", "could not be written", "free some space")

    world = World(tmp_path, dataset, Faults(0, RuntimeError(), after=False), monkeypatch)
    whole, world.ledger = world.ledger, Full()
    with pytest.raises(StorageError):
        world.train()
    assert book_interrupted(world.underway, world.ledger) == [], "it cannot be written still"
    (line,) = book_interrupted(world.underway, whole)
    assert "failed after 120 s" in line
    assert "ledger: could not be written" in line
    assert book_interrupted(world.underway, whole) == []


def _book(folder: Path, ledger_url: str, start: Any) -> None:
    from registry.ledger.store import open_ledger

    ledger = open_ledger(ledger_url)
    start.wait()
    book_interrupted(folder, ledger)


def test_two_bookers_at_once_book_a_run_once(tmp_path: Path) -> None:
    from registry.ledger.store import open_ledger

    folder, url = tmp_path / "underway", f"sqlite:///{tmp_path / 'ledger.db'}"
    for number in range(12):
        note = {"pid": 1, "born": 0, "began": 0, "price": PRICE.model_dump(mode="json"), "event": failure(f"r{number}")}
        write_json(folder / f"r{number}.json", note)  # as an older release wrote it
        os.utime(folder / f"r{number}.json", (60, 60))
    ledger, processes = open_ledger(url), multiprocessing.get_context("spawn")
    start = processes.Barrier(3)
    bookers = [processes.Process(target=_book, args=(folder, url, start)) for _ in range(3)]
    for booker in bookers:
        booker.start()
    for booker in bookers:
        booker.join()
        assert booker.exitcode == 0
    assert sorted(row.event.run_id for row in ledger.entries()) == sorted(f"r{number}" for number in range(12))
    assert list(folder.glob("*")) == []


def failure(run_id: str) -> dict[str, Any]:
    fields = {"hardware": "local: this machine", "price_as_of": "2026-11-01", "reason": "its process was killed"}
    event = TrainingFailed(model="hand", trainer="torch", run_id=run_id, seconds=0, usd=Decimal(0), **fields)
    return event.model_dump(mode="json")


def test_a_home_that_cannot_be_written_trains_nothing(tmp_path: Path) -> None:
    (tmp_path / "underway").write_text("a file where a folder belongs")
    event = TrainingFailed.model_validate(failure("r1"))
    with pytest.raises(OSError, match="exists"), paid_for(tmp_path / "underway", MemoryLedger(), PRICE, event):
        pytest.fail("it trained")


def test_how_long_it_trained_is_known_though_the_disk_is_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ledger, event = MemoryLedger(), TrainingFailed.model_validate(failure("r1"))
    with pytest.raises(SystemExit), paid_for(tmp_path, ledger, PRICE, event) as payment:
        monkeypatch.setattr(interrupted, "write_json", _full)
        payment.measure()
        raise SystemExit
    assert len(ledger.entries()) == 1
    assert not list(tmp_path.iterdir())


def _full(path: Path, _: object) -> None:
    raise StorageError(path, "could not be written", "free some space")
