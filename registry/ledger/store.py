"""The ledger in a database: SQLite by default, any other by its SQLAlchemy URL."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from sqlalchemy import Engine, create_engine, event, select
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import ArgumentError, DatabaseError
from sqlalchemy.exc import IntegrityError as DuplicateError
from sqlalchemy.orm import Session
from sqlalchemy.pool import ConnectionPoolEntry, NullPool

from registry.errors import InputError, IntegrityError, StorageError
from registry.events import AnyEvent, now, parse_event
from registry.files import canonical, sha256_bytes
from registry.ledger.models import Base, Row

_GENESIS = "0" * 64
_TRIES = 20


@dataclass(frozen=True, slots=True)
class LedgerEntry:
    """One row, read back."""

    seq: int
    at: datetime
    event: AnyEvent


class SqlLedger:
    """A ledger behind a SQLAlchemy engine.

    Two writers that race for the same place in the chain collide on the primary key, and the later one
    tries again on top of the earlier: no lock is needed and no row is lost.
    """

    def __init__(self, engine: Engine) -> None:
        """Use an engine whose tables exist; `open_ledger` makes both."""
        self._engine = engine

    def append(self, event: AnyEvent) -> LedgerEntry:
        """Add an event at the end."""
        for _ in range(_TRIES):
            try:
                with _usable(self._engine), Session(self._engine) as session, session.begin():
                    last = session.scalars(select(Row).order_by(Row.seq.desc()).limit(1)).first()
                    row = _row(event, last)
                    session.add(row)
                    session.flush()
                    return LedgerEntry(row.seq, datetime.fromisoformat(row.at), event)
            except DuplicateError:
                continue
        raise StorageError("ledger", f"lost {_TRIES} races for its next row", "run the command again")

    def entries(self, model: str | None = None) -> Sequence[LedgerEntry]:
        """Rows in order, of one model or of all."""
        query = select(Row.seq, Row.at, Row.body).order_by(Row.seq)
        if model is not None:
            query = query.where(Row.model == model)
        with _usable(self._engine), Session(self._engine) as session:
            rows = session.execute(query).all()
        return [LedgerEntry(seq, datetime.fromisoformat(at), parse_event(body)) for seq, at, body in rows]

    def verify(self) -> int:
        """Walk the chain; return how many rows hold."""
        last: Row | None = None
        with _usable(self._engine), Session(self._engine) as session:
            for row in session.scalars(select(Row).order_by(Row.seq)):
                if not _holds(row, last):
                    raise IntegrityError(
                        f"ledger row {row.seq}", "its hash does not follow from the row before it", "restore a backup"
                    )
                last = row
        return last.seq if last else 0


def open_ledger(url: str) -> SqlLedger:
    """The ledger at a SQLAlchemy URL; its table is made where it is missing."""
    try:
        engine = create_engine(url, poolclass=NullPool)  # a ledger is asked rarely and from many processes
    except (ArgumentError, ImportError, ValueError):
        raise InputError("ledger URL", "cannot be used", "write sqlite:///FILE or postgresql+psycopg://…") from None
    if engine.dialect.name == "sqlite":
        if engine.url.database:
            Path(engine.url.database).parent.mkdir(parents=True, exist_ok=True)
        event.listen(engine, "connect", _durable)
    with _usable(engine):
        Base.metadata.create_all(engine)
    return SqlLedger(engine)


def _durable(connection: DBAPIConnection, _: ConnectionPoolEntry) -> None:
    """SQLite: readers beside a writer, and every commit on disk."""
    cursor = connection.cursor()
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "busy_timeout=10000"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


@contextmanager
def _usable(engine: Engine) -> Generator[None]:
    """What a full disk, a lost server, or a file that is no database is called here. A lost race is not an error."""
    try:
        yield
    except DuplicateError:
        raise
    except DatabaseError as error:
        place = engine.url.render_as_string(hide_password=True)
        raise StorageError(place, f"the ledger cannot be used ({error.orig})", "check the file and the server") from error


def _row(event: AnyEvent, last: Row | None) -> Row:
    """The row that follows `last`."""
    row = Row(
        seq=last.seq + 1 if last else 1,
        at=now().isoformat(),
        kind=event.kind,
        model=event.model,
        version=event.version,
        body=canonical(event.model_dump(mode="json")).decode(),
        previous=last.hash if last else _GENESIS,
    )
    row.hash = _hash(row)
    return row


def _hash(row: Row) -> str:
    """What a row's hash must be."""
    return sha256_bytes(canonical([row.seq, row.at, row.kind, row.model, row.version, row.body, row.previous]))


def _holds(row: Row, last: Row | None) -> bool:
    """Whether a row follows from the one before it."""
    place = (last.seq + 1, last.hash) if last else (1, _GENESIS)
    return (row.seq, row.previous) == place and row.hash == _hash(row)
