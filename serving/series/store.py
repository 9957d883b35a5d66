"""Writing the time series: one collector adds what it sees, and what is old is rolled up, in transactions."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager, suppress
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple, Self

from registry.errors import StorageError
from registry.files import set_aside
from serving.series.interval import Counters, Interval, advance
from serving.series.schema import COLUMNS, FORMAT, KEPT_S, SPANS, TABLES, interval_of, seen_of, seen_values, values_of

MOST_POINTS = 40_000
"""Rows of one endpoint. Without versions that change every few seconds, or clocks that jump, there are some 20,000."""
_ROLL_UP_MS = 300_000
_BROKEN = {sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_ERROR, sqlite3.SQLITE_FORMAT}
"""What SQLite calls a file of other bytes, of damaged pages, or of other tables."""
_KEY = "endpoint = ? AND span_s = ? AND start_s = ? AND version = ?"


class Look(NamedTuple):
    """An endpoint as it was seen: its version, and its counters; None where it did not answer."""

    version: str
    counters: Counters | None


class SeriesStore:
    """The series of one file, for one process to write. One that is damaged or of a newer release is set aside."""

    def __init__(self, file: Path, say: Callable[[str], None]) -> None:
        """Nothing is opened yet. `say` is called with a line about a file that was set aside."""
        self._file, self._say = file, say
        self._db: sqlite3.Connection | None = None
        self._inode = 0
        self._rolled_up_ms: int | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file; the next look opens it again."""
        if self._db is not None:
            with suppress(sqlite3.Error):
                self._db.close()
        self._db = None

    def add(self, looks: Mapping[str, Look], at_ms: int, gap_ms: int) -> None:
        """Add what was seen of each endpoint at a moment; after longer than the gap nobody knows what was between.

        Raises StorageError for a disk that cannot be written; nothing of it is then added, and the next look has all of it.
        """

        def record(db: sqlite3.Connection) -> None:
            for endpoint, look in looks.items():
                _record(db, endpoint, look, at_ms, gap_ms)

        self._write(record)
        if self._rolled_up_ms is None or not 0 <= at_ms - self._rolled_up_ms < _ROLL_UP_MS:
            self.roll_up(at_ms)

    def roll_up(self, at_ms: int) -> None:
        """Add old intervals to longer ones, and forget the oldest: all in one transaction. Raises StorageError."""
        self._write(lambda db: _roll_up(db, at_ms // 1000))
        self._rolled_up_ms = at_ms

    def _write(self, work: Callable[[sqlite3.Connection], None]) -> None:
        with _mapping_disk_errors(self._file):
            try:
                self._in_transaction(work)
            except sqlite3.DatabaseError as error:
                if error.sqlite_errorcode not in _BROKEN:
                    self.close()
                    raise
                self._start_anew("damaged")
            except (ValueError, TypeError):  # a row that holds what was never written
                self._start_anew("damaged")
            else:
                return
            self._in_transaction(work)

    def _in_transaction(self, work: Callable[[sqlite3.Connection], None]) -> None:
        db = self._opened()
        db.execute("BEGIN IMMEDIATE")
        try:
            work(db)
            db.execute("COMMIT")
        except BaseException:
            with suppress(sqlite3.Error):  # a full disk has ended it already
                db.execute("ROLLBACK")
            raise

    def _opened(self) -> sqlite3.Connection:
        """The database, opened again where another file lies in its place, or none."""
        if self._db is not None and _inode(self._file) == self._inode:
            return self._db
        self.close()
        self._file.parent.mkdir(parents=True, exist_ok=True)
        if os.path.lexists(self._file) and not self._file.is_file():
            self._start_anew("no file")
        self._db = _open(self._file)
        (version,), tables = self._db.execute("PRAGMA user_version").fetchone(), _has_tables(self._db)
        if version > FORMAT or (tables and not version):
            self._start_anew("of a newer release" if version else "another database", "newer" if version else "damaged")
            self._db, tables = _open(self._file), False
        if not tables:
            self._db.executescript(f"BEGIN; {TABLES} PRAGMA user_version = {FORMAT}; COMMIT;")
        self._inode = _inode(self._file)
        return self._db

    def _start_anew(self, why: str, name: str = "damaged") -> None:
        self.close()
        names = list[str]()
        for suffix in ("", "-wal", "-shm", "-journal"):
            path = self._file.with_name(f"{self._file.name}{suffix}")
            if os.path.lexists(path):
                names.append(set_aside(path, name).name)
        self._say(f"{self._file} is {why}, so it is kept as {' and '.join(names)}; recording begins anew")


def _inode(file: Path) -> int:
    try:
        return file.stat().st_ino
    except OSError:
        return 0


def _open(file: Path) -> sqlite3.Connection:
    db = sqlite3.connect(file, timeout=10, isolation_level=None)
    try:
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = NORMAL")  # what a power cut takes is in the endpoint's counters still
    except BaseException:
        db.close()
        raise
    return db


def _has_tables(db: sqlite3.Connection) -> bool:
    return db.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchone() is not None


def _record(db: sqlite3.Connection, endpoint: str, look: Look, at_ms: int, gap_ms: int) -> None:
    row = db.execute("SELECT at_ms, answered, counters, since_ms FROM endpoints WHERE endpoint = ?", (endpoint,)).fetchone()
    interval, seen = advance(seen_of(row) if row else None, look.counters, at_ms, gap_ms)
    db.execute("INSERT OR REPLACE INTO endpoints VALUES (?, ?, ?, ?, ?)", (endpoint, *seen_values(seen)))
    _add(db, (endpoint, SPANS[0], at_ms // 1000 // SPANS[0] * SPANS[0], look.version), interval)


def _add(db: sqlite3.Connection, key: tuple[str, int, int, str], interval: Interval) -> None:
    if interval == Interval():
        return
    row = db.execute(f"SELECT {COLUMNS} FROM points WHERE {_KEY}", key).fetchone()  # noqa: S608 our own columns
    total = interval_of(row) + interval if row else interval
    values = (*key, *values_of(total))
    db.execute(f"INSERT OR REPLACE INTO points VALUES ({', '.join('?' * len(values))})", values)  # noqa: S608


def _roll_up(db: sqlite3.Connection, at_s: int) -> None:
    """What lies far ahead, because the clock was wrong then, is rolled up and forgotten like what lies far back."""
    for (span, longer), kept in zip(pairwise(SPANS), KEPT_S[:-1], strict=True):
        old, ahead = (at_s - kept) // longer * longer, at_s + kept
        which = "span_s = ? AND (start_s < ? OR start_s > ?)"
        rows = db.execute(
            f"SELECT endpoint, start_s, version, {COLUMNS} FROM points WHERE {which} ORDER BY endpoint, version, start_s",  # noqa: S608
            (span, old, ahead),
        ).fetchall()
        totals = dict[tuple[str, int, int, str], Interval]()
        for endpoint, start, version, *values in rows:
            key = (endpoint, longer, start // longer * longer, version)
            totals[key] = totals.get(key, Interval()) + interval_of(values)
        for key, interval in totals.items():
            _add(db, key, interval)
        db.execute(f"DELETE FROM points WHERE {which}", (span, old, ahead))  # noqa: S608
    _forget(db, at_s)


def _forget(db: sqlite3.Connection, at_s: int) -> None:
    first, last = at_s - KEPT_S[-1], at_s + KEPT_S[-1]
    db.execute("DELETE FROM points WHERE start_s < ? OR start_s > ?", (first, last))
    db.execute("DELETE FROM endpoints WHERE at_ms < ? OR at_ms > ?", (first * 1000, last * 1000))
    for endpoint, count in db.execute("SELECT endpoint, count(*) FROM points GROUP BY endpoint").fetchall():
        oldest = "SELECT span_s, start_s, version FROM points WHERE endpoint = ? ORDER BY start_s LIMIT ?"
        keys = db.execute(oldest, (endpoint, max(count - MOST_POINTS, 0))).fetchall()
        db.executemany(f"DELETE FROM points WHERE {_KEY}", [(endpoint, *key) for key in keys])  # noqa: S608 our own columns


@contextmanager
def _mapping_disk_errors(file: Path) -> Generator[None]:
    """A disk that is full, read-only or forbidden is one line."""
    try:
        yield
    except (sqlite3.Error, OSError) as error:
        why = os.strerror(error.errno) if isinstance(error, OSError) and error.errno else str(error)
        raise StorageError(file, f"could not be written ({why})", "free some space or choose another --home") from error
