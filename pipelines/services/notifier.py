"""Sending notices: each channel reads the ledger at its own pace, tries again by itself, and never holds anybody up.

Where a channel has come to is kept in the home, so that nothing is lost when a process ends: each notice is delivered at
least once. A new channel begins with what happens from then on.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import Field

from pipelines.services.channels import Channel, channels_of
from pipelines.services.notices import Notice, budget_notices, notice_of
from registry.backoff import LONGEST_S, wait_s
from registry.errors import BusyError, DamagedFileError, MissingFileError, ModelyardError, UnavailableError, shorten
from registry.events import now
from registry.files import read_record, set_aside, write_json
from registry.lease import locked
from registry.records import Record

if TYPE_CHECKING:
    from pipelines.home import Home, Say
    from registry.ledger.store import LedgerEntry, SqlLedger
    from registry.settings import Settings

_EVERY_S = 5.0
_BUDGETS_S = 60.0
_GIVE_UP_S = 24 * 3600.0
_MOST_WAITING = 1000
_NEW_OUTBOX = "run `modelyard notify send`: it keeps this one under another name and begins a new one"


class Outbox(Record):
    """Where a channel has come to: the last ledger row it looked at, what waits, and how its last try went.

    `at`: when that row was written, which tells another ledger that was begun since. None in outboxes of older releases.
    """

    row: int
    at: datetime | None = None
    waiting: list[Notice] = Field(default_factory=list[Notice])
    tries: int = 0
    since: float | None = None
    again: float = 0.0
    said: str = ""
    delivered: int = 0
    given_up: int = 0
    budgets: dict[str, str] = Field(default_factory=dict[str, str])


@dataclass
class Notifier:
    """All channels of one home. `clock` is seconds since 1970."""

    folder: Path
    ledger_of: Callable[[], SqlLedger]
    say: Say
    channels: Sequence[Channel]
    clock: Callable[[], float] = time.time
    _budgets_at: dict[str, float] = field(default_factory=dict[str, float])

    def once(self) -> int:
        """Take in what happened and deliver what is due; how many notices were delivered."""
        ledger = self.ledger_of()
        return sum(self._served(channel, ledger) for channel in self.channels)

    def status(self) -> dict[str, Outbox]:
        """Each channel's outbox as it is now, written by nobody but the senders. Raises DamagedFileError."""
        return {channel.name: self._read(channel) or Outbox(row=0) for channel in self.channels}

    def keep_on(self, leading: Callable[[], bool], stop: threading.Event) -> None:
        """Again and again until told to stop, while this process leads; who follows keeps up without sending."""
        while not stop.wait(_EVERY_S):
            try:
                if leading():
                    self.once()
                else:
                    self.skip()
            except Exception as error:  # noqa: BLE001 whatever is wrong with a notice, the watcher goes on
                self.say(f"notices: {error if isinstance(error, ModelyardError) else type(error).__name__}")

    def skip(self) -> None:
        """Another process sends: leave what is older than two minutes to it."""
        ledger = self.ledger_of()
        for channel in self.channels:
            box = self._open(channel, ledger)
            box, fresh = _since(box, ledger)
            old = [row for row in fresh if (now() - row.at).total_seconds() > 2 * _BUDGETS_S]
            if old:
                self._keep(channel, box.model_copy(update={"row": old[-1].seq, "at": old[-1].at}))

    def _served(self, channel: Channel, ledger: SqlLedger) -> int:
        """One channel's turn; whatever is wrong with it holds up none of the others."""
        try:
            busy = BusyError(channel.name, "another process sends by it now", "wait for it")
            with locked(self.folder / f"{channel.name}.lock", busy, wait=False):
                return self._serve(channel, ledger)
        except BusyError:
            return 0  # what is due is delivered by the other one
        except Exception as error:  # noqa: BLE001 a full disk, a file that was damaged
            self.say(f"notices by {channel.name}: {error if isinstance(error, ModelyardError) else type(error).__name__}")
            return 0

    def _serve(self, channel: Channel, ledger: SqlLedger) -> int:
        box = self._taken_in(channel, self._open(channel, ledger), ledger)
        sent = 0
        while box.waiting and not 0 < box.again - self.clock() <= LONGEST_S:  # a clock that was set back makes nobody wait
            box, well = self._deliver(channel, box)
            sent += well
            self._keep(channel, box)
        return sent

    def _taken_in(self, channel: Channel, box: Outbox, ledger: SqlLedger) -> Outbox:
        """With what happened since. The budgets are computed once a minute."""
        known, (box, fresh) = box, _since(box, ledger)
        notices = [notice for entry in fresh if (notice := notice_of(entry))]
        budgets = dict(box.budgets)
        if not 0 <= self.clock() - self._budgets_at.get(channel.name, -_BUDGETS_S) < _BUDGETS_S:
            self._budgets_at[channel.name] = self.clock()
            notices += budget_notices(ledger.entries(), now(), budgets)
        if not fresh and not notices and budgets == box.budgets and box == known:
            return box
        waiting = [*box.waiting, *notices]
        row, at = (fresh[-1].seq, fresh[-1].at) if fresh else (box.row, box.at)
        dropped = max(len(waiting) - _MOST_WAITING, 0)
        fields = {"row": row, "at": at, "waiting": waiting[dropped:], "budgets": budgets, "given_up": box.given_up + dropped}
        box = box.model_copy(update=fields)
        self._keep(channel, box)
        return box

    def _deliver(self, channel: Channel, box: Outbox) -> tuple[Outbox, bool]:
        """Try the first that waits. What cannot be delivered for a day, or is refused for good, is given up and said."""
        notice, rest = box.waiting[0], box.waiting[1:]
        fresh = {"tries": 0, "since": None, "again": 0.0}
        try:
            channel.send(notice)
        except UnavailableError as error:
            since = min(box.since or self.clock(), self.clock())
            wait = wait_s(box.tries + 1)
            if self.clock() - since < _GIVE_UP_S:
                fields = {"tries": box.tries + 1, "since": since, "again": self.clock() + wait, "said": str(error)}
                return box.model_copy(update=fields), False
            why: ModelyardError = error
        except ModelyardError as error:
            why = error
        except Exception as error:  # noqa: BLE001 what cannot even be written, such as a header, will not go better later
            why = ModelyardError(channel.name, f"cannot send it ({type(error).__name__})", "see what it says")
        else:
            return box.model_copy(update=fresh | {"waiting": rest, "said": "", "delivered": box.delivered + 1}), True
        self.say(f"notice given up: {why} ({shorten(notice.text, 120)})")
        return box.model_copy(update=fresh | {"waiting": rest, "said": str(why), "given_up": box.given_up + 1}), False

    def _file(self, channel: Channel) -> Path:
        return self.folder / f"{channel.name}.json"

    def _read(self, channel: Channel) -> Outbox | None:
        """A channel's outbox, None for a new channel. Raises DamagedFileError."""
        try:
            return read_record(self._file(channel), Outbox, "an outbox of notices", _NEW_OUTBOX)
        except MissingFileError:
            return None

    def _open(self, channel: Channel, ledger: SqlLedger) -> Outbox:
        """A channel's outbox to send from. A new one begins now; so does one in the place of one that is damaged."""
        try:
            box = self._read(channel)
        except DamagedFileError as error:
            beside = set_aside(self._file(channel))
            self.say(f"{error.subject} {error.expectation}: it is kept as {beside.name}, and a new one begins")
            box = None
        if box is None:
            last = ledger.entries()
            box = Outbox(row=last[-1].seq, at=last[-1].at) if last else Outbox(row=0)
            budget_notices(last, now(), box.budgets)
            self._keep(channel, box)
        return box

    def _keep(self, channel: Channel, box: Outbox) -> None:
        write_json(self._file(channel), box.model_dump(mode="json"))


def _since(box: Outbox, ledger: SqlLedger) -> tuple[Outbox, Sequence[LedgerEntry]]:
    """The rows that a channel has not looked at. In another ledger, begun since, these are all of them."""
    if not box.row:
        return box, ledger.entries()
    rows = ledger.entries(after=box.row - 1)
    if not rows or rows[0].seq != box.row or (box.at and rows[0].at != box.at):
        return box.model_copy(update={"row": 0, "at": None, "budgets": {}}), ledger.entries()
    return box.model_copy(update={"at": rows[0].at}), rows[1:]


def notifier_of(home: Home, say: Say, channels: Sequence[Channel], clock: Callable[[], float] = time.time) -> Notifier:
    """The notifier of a home."""
    return Notifier(home.settings.home / "notices", home.ledger, say, channels, clock)


def start_notifier(home: Home, leading: Callable[[], bool], say: Say) -> threading.Event | None:
    """Send notices beside whatever else this process does, where a channel is set; setting the event ends it."""
    try:
        channels = channels_of(home.settings)
    except ModelyardError as error:  # what promotions are followed by does not wait for a setting of notices
        say(f"no notices go out: {error}")
        return None
    if not channels:
        return None
    stop, notifier = threading.Event(), notifier_of(home, say, channels)
    threading.Thread(target=notifier.keep_on, args=(leading, stop), name="notices", daemon=True).start()
    say(f"notices go out by {', '.join(channel.name for channel in channels)}")
    return stop


def try_all(settings: Settings) -> list[dict[str, str]]:
    """Send a test notice by every channel; what each said."""
    results = list[dict[str, str]]()
    for channel in channels_of(settings):
        at = now()
        notice = Notice(id=f"test-{at:%Y%m%dT%H%M%S%f}", kind="test", at=at, model="", text="a test of Modelyard's notices")
        try:
            channel.send(notice)
            results.append({"channel": channel.name, "state": "delivered", "said": ""})
        except ModelyardError as error:
            results.append({"channel": channel.name, "state": "failed", "said": str(error)})
    return results


def channel_status(home: Home) -> list[dict[str, object]]:
    """What each channel has delivered, what waits, and what its last try said. Nothing is written."""
    shown = ("delivered", "given_up", "tries", "said")
    return [
        {"channel": name, "waiting": len(box.waiting), **{field: getattr(box, field) for field in shown}}
        for name, box in notifier_of(home, lambda _: None, channels_of(home.settings)).status().items()
    ]
