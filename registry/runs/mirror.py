"""The copy itself: a table in SQLite, one row a run, written in one transaction or not at all."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import NamedTuple, Protocol, Self

import msgspec

from registry.address import UP, redact_login
from registry.errors import DamagedFileError, StorageError
from registry.runs.rows import RunRow
from registry.runs.server import RunChanges
from registry.settings import Settings

Progress = Callable[[int, int], None]
"""Called with (runs read, runs to read); where a server does not say how many, both are what was read."""

FILE = "runs.db"
OWN = "the home's own"

_WHOLE_EVERY_S = 900
_FIRST_S = 120.0
_FORMAT = "1"
_BROKEN = {sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT}
_TABLES = """
CREATE TABLE IF NOT EXISTS state (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS runs (
    run_id TEXT PRIMARY KEY, digest TEXT NOT NULL, started_ms INTEGER NOT NULL, body BLOB NOT NULL
);
CREATE INDEX IF NOT EXISTS newest ON runs (started_ms DESC, run_id);
"""


class SyncState(NamedTuple):
    """How far a copy is: `version` grows with each change, `at` is when the server last answered, 0 for never."""

    version: int = 0
    at: float = 0.0
    changed: int = 0
    removed: int = 0


class RunSource(Protocol):
    """Where runs come from: `registry.runs.server.RunServer`."""

    def changes(self, known: dict[str, str], token: str, *, whole: bool) -> RunChanges | None:
        """What differs from what is known, or None for nothing. Raises UnavailableError."""
        ...


def _no_progress(_done: int, _of: int) -> None:
    """For callers that show no progress."""


class RunMirror:
    """One server's runs in one file. A file that is broken, or holds another server's runs, is made anew."""

    def __init__(self, file: Path, server: str) -> None:
        """`server` tells one server from another; nothing is opened yet."""
        self._file, self.server = file, server
        self._holds = f"{_FORMAT} {server}"

    @classmethod
    def for_home(cls, settings: Settings) -> Self:
        """The home's copy, of the server that its settings lead to. The home's own server is one at whatever port."""
        uri = settings.mlflow_uri
        if not uri and not (settings.home / UP).exists():
            uri = os.environ.get("MLFLOW_TRACKING_URI")
        return cls(settings.home / FILE, redact_login(uri).rstrip("/") if uri else OWN)

    def state(self) -> SyncState:
        """How far it is, without a request."""
        with suppress(sqlite3.Error), self._reading() as db:
            return _state(db).synced
        return SyncState()

    def rows(self) -> list[RunRow]:
        """All runs, newest first; none where there is no copy of this server."""
        rows, damaged = list[RunRow](), list[str]()
        with suppress(sqlite3.Error), self._reading() as db:
            read = msgspec.msgpack.Decoder(RunRow).decode
            for run_id, body in db.execute("SELECT run_id, body FROM runs ORDER BY started_ms DESC, run_id"):
                try:
                    rows.append(read(body))
                except (msgspec.MsgspecError, UnicodeDecodeError):
                    damaged.append(run_id)
        if damaged:
            self._forget(damaged)
        return rows

    def _forget(self, ids: Sequence[str]) -> None:
        """Rows that cannot be read: they are asked for again at the next changes."""
        with self._writing() as db:
            if db is not None:
                db.executemany("DELETE FROM runs WHERE run_id = ?", [(run_id,) for run_id in ids])
                db.execute("UPDATE state SET value = '' WHERE name = 'token'")

    def sync(self, server: RunSource, progress: Progress = _no_progress, *, whole: bool = False) -> SyncState:
        """Ask the server what changed and take it in. Does not wait for another process that is syncing already.

        Raises UnavailableError for a server that does not answer and StorageError for a disk that cannot be written; the copy
        is then as it was.
        """
        with self._writing() as db:
            if db is None:
                return self.state()
            state = _state(db)
            if state.holds != self._holds:
                db.execute("DELETE FROM runs")
                state = _State(self._holds, version=_next_version(state.version))
            known = dict(db.execute("SELECT run_id, digest FROM runs"))
            stale = not 0 <= time.time() - state.whole_at < _WHOLE_EVERY_S
            changes = server.changes(known, state.token, whole=whole or stale)
            now = time.time()
            if changes is None:
                return _save_state(db, state._replace(at=now, whole_at=now))
            changed, removed = _apply(db, changes, known, progress)
            state = state._replace(token=changes.token, at=now, whole_at=state.whole_at if changes.kept is None else now)
            if changed or removed:
                state = state._replace(version=_next_version(state.version))
            return _save_state(db, state)._replace(changed=changed, removed=removed)

    @contextmanager
    def _reading(self) -> Generator[sqlite3.Connection]:
        """The copy of this server, read only; raises sqlite3.Error where there is none."""
        if not self._file.is_file():  # a pipe would be waited for
            raise sqlite3.DatabaseError
        with closing(sqlite3.connect(f"{self._file.absolute().as_uri()}?mode=ro", uri=True, timeout=5)) as db:
            if _state(db).holds != self._holds:
                raise sqlite3.DatabaseError
            yield db

    @contextmanager
    def _writing(self) -> Generator[sqlite3.Connection | None]:
        """A transaction; None where another process has one and there is something to show meanwhile."""
        with _mapping_disk_errors(self._file), closing(self._open()) as db:
            db.execute(f"PRAGMA busy_timeout = {0 if self.state().at else int(_FIRST_S * 1000)}")
            try:
                db.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode != sqlite3.SQLITE_BUSY:
                    raise
                yield None
                return
            try:
                yield db
            except BaseException:
                db.rollback()
                raise
            db.commit()

    def _open(self) -> sqlite3.Connection:
        self._file.parent.mkdir(parents=True, exist_ok=True)
        if os.path.lexists(self._file) and not self._file.is_file():
            raise DamagedFileError(self._file, "is not a file", "remove it: it is made again")
        try:
            return _open_database(self._file)
        except sqlite3.DatabaseError as error:
            if error.sqlite_errorcode not in _BROKEN:
                raise
        for suffix in ("", "-wal", "-shm", "-journal"):
            self._file.with_name(f"{self._file.name}{suffix}").unlink(missing_ok=True)
        return _open_database(self._file)


class _State(NamedTuple):
    """What the copy knows of itself. `whole_at` is when every run was looked at last."""

    holds: str = ""
    token: str = ""
    version: int = 0
    at: float = 0.0
    whole_at: float = 0.0

    @property
    def synced(self) -> SyncState:
        """What callers see."""
        return SyncState(self.version, self.at)


def _open_database(file: Path) -> sqlite3.Connection:
    """Open, and make what is missing. Readers see the last whole copy while one is written."""
    db = sqlite3.connect(file, timeout=5, isolation_level=None)
    try:
        if db.execute("PRAGMA journal_mode").fetchone() != ("wal",):
            db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = NORMAL")  # losing the last change to a power cut costs one more sync
        if not db.execute("SELECT 1 FROM sqlite_master WHERE name = 'runs'").fetchone():
            db.executescript(_TABLES)
    except BaseException:
        db.close()
        raise
    return db


def _state(db: sqlite3.Connection) -> _State:
    values = dict(db.execute("SELECT name, value FROM state"))
    if not values:
        return _State()
    numbers = {"version": int(values["version"]), "at": float(values["at"]), "whole_at": float(values["whole_at"])}
    return _State(holds=values["holds"], token=values["token"], **numbers)


def _save_state(db: sqlite3.Connection, state: _State) -> SyncState:
    rows = [(name, str(value)) for name, value in state._asdict().items()]
    db.executemany("INSERT OR REPLACE INTO state (name, value) VALUES (?, ?)", rows)
    return state.synced


def _next_version(version: int) -> int:
    """Greater than before, and than that of a copy that was thrown away."""
    return max(version + 1, int(time.time() * 1000))


def _apply(db: sqlite3.Connection, changes: RunChanges, known: dict[str, str], progress: Progress) -> tuple[int, int]:
    """Write what differs; how many runs changed and how many are gone."""
    sent, changed = set[str](), 0
    for page in changes.pages:
        fresh = [(row, digest) for digest, row in page if known.get(row.run_id) != digest]
        records = [(row.run_id, digest, row.started_ms, msgspec.msgpack.encode(row)) for row, digest in fresh]
        db.executemany("INSERT OR REPLACE INTO runs (run_id, digest, started_ms, body) VALUES (?, ?, ?, ?)", records)
        known |= {row.run_id: digest for row, digest in fresh}
        sent |= {row.run_id for _, row in page}
        changed += len(fresh)
        progress(len(sent), len(sent) if changes.total is None else changes.total)
    gone = [] if changes.kept is None else [(run_id,) for run_id in known.keys() - sent - set(changes.kept)]
    db.executemany("DELETE FROM runs WHERE run_id = ?", gone)
    return changed, len(gone)


@contextmanager
def _mapping_disk_errors(file: Path) -> Generator[None]:
    """A disk that is full, read-only or forbidden is one line."""
    try:
        yield
    except (sqlite3.OperationalError, OSError) as error:
        why = os.strerror(error.errno) if isinstance(error, OSError) and error.errno else str(error)
        raise StorageError(file, f"could not be written ({why})", "free some space or choose another --home") from error
