"""Training whose process was killed (SIGKILL, out of memory): what it used is booked as failed by whoever looks next.

While a run trains, a file in the home says who trains it and at which price; it is touched every few seconds. It goes when
the run ends, however it ends. One whose process is gone is what a killed run left.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
from pydantic import ValidationError

from registry.amounts import round_usd
from registry.errors import ModelyardError
from registry.events import Trained
from registry.files import read_json, write_json
from registry.money.billing import cost
from registry.money.prices import Price
from registry.protocols import Ledger
from registry.records import Record
from registry.spending import TrainingFailed

_BEAT_S = 5.0
_SAME_S = 2.0


class RunningTraining(Record):
    """A run that trains. `event` is what its failure would be, `born` and `began` are seconds since 1970."""

    pid: int
    born: float
    began: float
    price: Price
    event: TrainingFailed


@contextmanager
def tracked_on_disk(folder: Path | None, price: Price, event: TrainingFailed) -> Iterator[None]:
    """Keep a run's file while the block runs; without a folder nothing is kept."""
    if folder is None:
        yield
        return
    path, over = folder / f"{event.run_id}.json", threading.Event()
    born = psutil.Process().create_time()
    note = RunningTraining(pid=os.getpid(), born=born, began=time.time(), price=price, event=event)
    write_json(path, note.model_dump(mode="json"))

    def beat() -> None:
        while not over.wait(_BEAT_S):
            with suppress(OSError):
                path.touch()

    threading.Thread(target=beat, name="underway", daemon=True).start()
    try:
        yield
    finally:
        over.set()
        path.unlink(missing_ok=True)


def book_interrupted(folder: Path, ledger: Ledger) -> list[str]:
    """Book every run whose process is gone, up to its file's last touch; sentences of what was booked."""
    lines = list[str]()
    for path in sorted(folder.glob("*.json")):
        try:
            note, last = RunningTraining.model_validate(read_json(path)), path.stat().st_mtime
        except (OSError, ValueError, ValidationError):
            continue
        if _lives(note):
            continue
        seconds = max(last - note.began, 0.0)
        fields = {"seconds": seconds, "usd": round_usd(cost(seconds, note.price))}
        event = note.event.model_copy(update=fields)
        rows = (row.event for row in ledger.entries(event.model) if row.flaw is None)
        with suppress(ModelyardError):
            if all(row.run_id != event.run_id for row in rows if isinstance(row, (Trained, TrainingFailed))):
                ledger.append(event)
                lines.append(str(event))
            path.unlink(missing_ok=True)
    return lines


def _lives(note: RunningTraining) -> bool:
    try:
        process = psutil.Process(note.pid)
        return abs(process.create_time() - note.born) < _SAME_S and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False
