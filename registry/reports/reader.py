"""A ledger's rows for a process that only reads, kept up to date by reading the new ones."""

from __future__ import annotations

from collections.abc import Sequence
from threading import Lock

from registry.events import AnyEvent
from registry.memory import MemoryEntry
from registry.opening import reading_ledger_of
from registry.protocols import Entry
from registry.settings import Settings


class LedgerReader:
    """The ledger's rows, without those that were tampered with or that no trusted key signed; `refresh` reads only new ones.

    A ledger that was replaced by another is read anew: the last row that was read has to be there still.
    """

    def __init__(self, settings: Settings, kinds: tuple[type[AnyEvent], ...] = ()) -> None:
        """Nothing is read before `refresh`. Rows of other `kinds` are not kept, nor are their signatures checked."""
        self._settings, self._kinds, self._lock = settings, kinds, Lock()
        self._rows, self._last = list[Entry](), (0, "")

    def refresh(self) -> int:
        """Read what is new; how many rows there are."""
        with self._lock:
            ledger, (last, known) = reading_ledger_of(self._settings), self._last
            fresh = ledger.entries(after=max(last - 1, 0))
            if last and (not fresh or fresh[0].row.hash != known):
                self._rows, last, fresh = [], 0, ledger.entries()
            for row in fresh:
                if row.seq > last and isinstance(row.event, self._kinds or object) and row.flaw is None:
                    self._rows.append(MemoryEntry(row.seq, row.at, row.event))
            self._last = (fresh[-1].seq, fresh[-1].row.hash) if fresh else (0, "")
            return len(self._rows)

    def head(self, count: int) -> Sequence[Entry]:
        """The first `count` rows: what one page shows does not change while it is made."""
        return self._rows[:count]
