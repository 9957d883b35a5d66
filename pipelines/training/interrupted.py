"""What a run used is paid for, however it ends: by itself, or, where its process is gone, by whoever looks next.

From before a run trains until a row of the ledger says what it cost, a file in the home says who trains it, at which price and,
once it is known, for how long. The file is touched every few seconds while the run trains. One that is left over was left by
a process that is gone (SIGKILL, out of memory), or by one that could not write the ledger: it is booked by the next `train`
and by the reconciler. Booking is done under a lock and only where no row names the run yet, so each run is booked once. Where
a run was taken for killed and goes on (its process cannot be seen from another machine or container), what it says itself is
booked all the same: its later row counts, and the earlier one no more (`registry.reports.accounts`).
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from time import monotonic

import psutil
from pydantic import ValidationError

from pipelines.training.metered import Usage
from registry.amounts import round_usd
from registry.errors import ModelyardError, shorten
from registry.events import AnyEvent, Trained
from registry.files import read_json, write_json
from registry.lease import locked_folder
from registry.money.billing import cost
from registry.money.prices import Price
from registry.protocols import Ledger
from registry.records import Record
from registry.spending import TrainingFailed

_BEAT_S = 5.0
_YOUNG_S = 4 * _BEAT_S
_SAME_S = 2.0


class RunningTraining(Record):
    """A run that no row names yet. `event` is what its failure would be, `born` and `began` are seconds since 1970.

    `space` is where its process id means something, `ticks` its start in clock ticks since boot, which no stepped clock moves;
    both are empty in notes of older releases and where there is no /proc.
    `measured`: the event's seconds and price are final, because training itself has ended. `given_up`: its process could not
    book it and does nothing more about it, whether it still lives or not.
    """

    pid: int
    born: float
    began: float
    price: Price
    event: TrainingFailed
    dataset: str = ""
    space: str = ""
    ticks: int = 0
    measured: bool = False
    given_up: bool = False


class Payment:
    """What one run costs, until it is booked. Without a folder nothing is kept on disk."""

    def __init__(self, folder: Path | None, ledger: Ledger, price: Price, event: TrainingFailed, dataset: str) -> None:
        """Write the run's file: a home in which that is impossible trains nothing.

        `event` is its failure, at no cost yet, or at that of an earlier part, which this one goes on from.
        """
        self._folder, self._ledger, self._began = folder, ledger, monotonic()
        born = psutil.Process().create_time()
        who = {"pid": os.getpid(), "born": born, "space": _process_space(), "ticks": _start_ticks(os.getpid()) or 0}
        self._note = RunningTraining(**who, began=time.time(), price=price, event=event, dataset=dataset)
        self.meter: Callable[[], Usage | None] | None = None
        """Says what was used where this process's clock does not: on a machine that is paid for from elsewhere."""
        self._over = threading.Event()
        self._beat: threading.Thread | None = None
        if self._path:
            self._write()
            self._beat = threading.Thread(target=self._touch, name="underway", daemon=True)
            self._beat.start()

    @property
    def event(self) -> TrainingFailed:
        """What the run's failure would be by now."""
        return self._note.event

    @property
    def _path(self) -> Path | None:
        return self._folder / f"{self.event.run_id}.json" if self._folder else None

    def free(self) -> None:
        """Nothing is trained from here on that was not paid for already."""
        self._note = self._note.model_copy(update={"measured": True})
        self._write()

    def measure(self) -> TrainingFailed:
        """Training ended now: what comes after it (registering, digests) is not paid for. A second call changes nothing."""
        if not self._note.measured:
            self.stop()
            seconds, usage = monotonic() - self._began, self.meter() if self.meter else None
            self._note = _with_usage(self._note, usage) if usage else _with_cost(self._note, seconds)
            with suppress(ModelyardError, OSError):  # a full disk: the file as it was says it too, to a few seconds
                self._write()
        return self.event

    def book(self, events: Sequence[AnyEvent]) -> None:
        """Append rows that say what the run cost, and only then remove its file. Raises what the ledger raises.

        They are appended too where somebody took the run for killed and booked less of it meanwhile.
        """
        self.stop()
        if self._folder is None:
            self._append(events)
            return
        with locked_folder(self._folder):
            self._append(events)
            (self._folder / f"{self.event.run_id}.json").unlink(missing_ok=True)

    def _append(self, events: Sequence[AnyEvent]) -> None:
        """Append the rows unless they are there: with a version, or as the same failure."""
        booked = _booked(self._ledger, self.event)
        trains = any(isinstance(event, Trained) for event in events)
        if any(isinstance(row, Trained) or (not trains and row.seconds == self.event.seconds) for row in booked):
            return
        self._ledger.append_all(events)

    def fail(self, error: BaseException) -> TrainingFailed:
        """Book the run as one that came to nothing; where the ledger cannot be written, its file stays for whoever looks next.

        What went wrong is what the user has to hear of, so nothing that goes wrong here is raised.
        """
        self.measure()
        fields = {"reason": shorten(error) or type(error).__name__}
        self._note = self._note.model_copy(update={"event": self.event.model_copy(update=fields)})
        try:
            self.book([self.event])
        except Exception:  # noqa: BLE001 a ledger fails in its driver's ways
            self._note = self._note.model_copy(update={"given_up": True})
            with suppress(ModelyardError, OSError):
                self._write()
        return self.event

    def stop(self) -> None:
        """No more touches; the last says until when it trained."""
        if self._beat and not self._over.is_set():
            self._over.set()
            self._beat.join()
            self._touch_once()

    def _write(self) -> None:
        if self._path:
            write_json(self._path, self._note.model_dump(mode="json"))

    def _touch(self) -> None:
        while not self._over.wait(_BEAT_S):
            self._touch_once()

    def _touch_once(self) -> None:
        """Where somebody took the run for killed, and booked it, its file is gone: what trains is said again."""
        if self._path is None:
            return
        with suppress(OSError, ModelyardError):
            try:
                os.utime(self._path)
            except FileNotFoundError:
                self._write()


@contextmanager
def paid_for(folder: Path | None, ledger: Ledger, price: Price, event: TrainingFailed, dataset: str = "") -> Generator[Payment]:
    """A run that trains and is registered within the block, which books it. Where the block raises, it is booked as failed.

    The run's file names its data set by digest, so that cleaning leaves that alone.
    """
    payment = Payment(folder, ledger, price, event, dataset)
    try:
        yield payment
    except BaseException as error:  # Ctrl-C too: what was used is paid
        payment.fail(error)
        raise
    finally:
        payment.stop()


def book_interrupted(folder: Path, ledger: Ledger) -> list[str]:
    """Book every run that its process can no longer book; sentences of what was booked.

    A run that was killed is paid up to its file's last touch. What cannot be booked now stays for the next time.
    """
    lines = list[str]()
    for path in sorted(folder.glob("*.json")):
        with suppress(ModelyardError, FileNotFoundError), locked_folder(folder):  # gone: another process has just booked it
            event = _unbooked(path)
            if event is None:
                continue
            if not any(isinstance(row, Trained) or row.seconds >= event.seconds for row in _booked(ledger, event)):
                ledger.append(event)
                lines.append(str(event))
            path.unlink(missing_ok=True)
    return lines


def _unbooked(path: Path) -> TrainingFailed | None:
    """What a run's file says it cost; None where its process still cares for it, or where it says nothing."""
    try:
        note, last = RunningTraining.model_validate(read_json(path)), path.stat().st_mtime
    except (OSError, ValueError, ValidationError, ModelyardError):
        return None
    if not note.given_up and _lives(note, time.time() - last):
        return None
    return note.event if note.measured else _with_cost(note, max(last - note.began, 0.0)).event


def _with_cost(note: RunningTraining, seconds: float) -> RunningTraining:
    before = note.event
    fields = {"seconds": before.seconds + seconds, "usd": before.usd + round_usd(cost(seconds, note.price))}
    return note.model_copy(update={"event": note.event.model_copy(update=fields), "measured": True})


def _with_usage(note: RunningTraining, usage: Usage) -> RunningTraining:
    before = note.event
    fields = {"seconds": before.seconds + usage.seconds, "usd": before.usd + usage.usd, "hardware": usage.hardware}
    return note.model_copy(update={"event": before.model_copy(update=fields), "measured": True})


def earlier_part(ledger: Ledger, model: str, run_id: str) -> Trained | TrainingFailed | None:
    """What the ledger says of a run so far: the row that counts."""
    rows = [row.event for row in ledger.entries(model) if row.flaw is None]
    mine = [row for row in rows if isinstance(row, (Trained, TrainingFailed)) and row.run_id == run_id]
    return next((row for row in reversed(mine) if isinstance(row, Trained)), mine[-1] if mine else None)


def _booked(ledger: Ledger, event: TrainingFailed) -> list[Trained | TrainingFailed]:
    """The rows that say what the event's run cost."""
    rows = (row.event for row in ledger.entries(event.model) if row.flaw is None)
    return [row for row in rows if isinstance(row, (Trained, TrainingFailed)) and row.run_id == event.run_id]


def _lives(note: RunningTraining, age: float) -> bool:
    """Whether a note's process is there, or may be: `age` is for how many seconds nobody has touched the note.

    Only who shares the process's id space can be sure. The clock may have been stepped, so an age may be negative.
    """
    if note.ticks and note.space == _process_space():
        return _start_ticks(note.pid) == note.ticks
    if not note.measured and abs(age) < _YOUNG_S:
        return True
    try:
        process = psutil.Process(note.pid)
        return abs(process.create_time() - note.born) < _SAME_S and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


def process_mark() -> str:
    """Names this process, so that another of this machine can tell that it is gone."""
    return f"{os.getpid()} {_start_ticks(os.getpid()) or 0} {_process_space()}"


def has_ended(mark: str) -> bool:
    """Whether the process of a mark is gone. One of another machine, or from before a restart, cannot be told."""
    pid, _, rest = mark.partition(" ")
    ticks, _, space = rest.partition(" ")
    if not (pid.isdecimal() and ticks.isdecimal() and int(ticks) and space and space == _process_space()):
        return False
    return _start_ticks(int(pid)) != int(ticks)


def _process_space() -> str:
    """The boot and the namespace within which a process id names one process; "" where the system does not say."""
    try:
        return f"{Path('/proc/sys/kernel/random/boot_id').read_text().strip()} {Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return ""


def _start_ticks(pid: int) -> int | None:
    """When a process started, in clock ticks since boot; None where there is none, or one that has ended."""
    try:
        words = Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
    except OSError:
        return None
    return int(words[19]) if len(words) > 19 and words[0] not in "ZX" else None  # noqa: PLR2004 the field of `man proc_pid_stat`
