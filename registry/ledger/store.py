"""The ledger in a database: SQLite by default, any other by its SQLAlchemy URL."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from pathlib import Path

from sqlalchemy import Engine, create_engine, event, select
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import ArgumentError, DatabaseError
from sqlalchemy.exc import IntegrityError as DuplicateError
from sqlalchemy.orm import Session
from sqlalchemy.pool import ConnectionPoolEntry, NullPool

from registry.digests import canonical, sha256_bytes
from registry.errors import InputError, IntegrityError, StorageError, missing_extra
from registry.events import AnyEvent, now, parse_event
from registry.ledger.leases import LEASE_S, SqlLeases
from registry.ledger.migrations import migrate
from registry.ledger.models import Row
from registry.ledger.witness import Witness
from registry.signing import Keyring, key_id

COLUMNS = ("seq", "at", "kind", "model", "version", "body", "previous", "hash", "signer", "signature")
_GENESIS = "0" * 64
_TRIES = 20


@dataclass(frozen=True)
class LedgerEntry:
    """One row, read back. `flaw` is worked out when it is asked for, because a signature takes time to check."""

    seq: int
    at: datetime
    event: AnyEvent
    row: Row = field(compare=False, repr=False)
    keys: Keyring = field(compare=False, repr=False)

    @property
    def signer(self) -> str:
        """The id of the key that signed it, by the row's own word: see `flaw`."""
        return self.row.signer

    @property
    def flaw(self) -> str | None:
        """Why this row does not count: touched, unsigned, or signed by a key that is not trusted."""
        return self._checked

    @cached_property
    def _checked(self) -> str | None:
        if self.row.hash != _hash(self.row):
            return "it was changed after it was written"
        return self.keys.flaw(self.row.hash, self.row.signer, self.row.signature)

    @property
    def envelope(self) -> dict[str, object]:
        """The whole row, with hash and signature: what can be checked anywhere with the public key alone."""
        return {column: getattr(self.row, column) for column in COLUMNS}


class SqlLedger:
    """A ledger behind a SQLAlchemy engine.

    Two writers that race for the same place in the chain collide on the primary key, and the later one
    tries again on top of the earlier: no lock is needed and no row is lost.
    """

    def __init__(self, engine: Engine, keys: Keyring, witness: Witness | None = None) -> None:
        """Use an engine whose tables exist; `open_ledger` makes both."""
        self._engine, self.keys, self._witness = engine, keys, witness

    @property
    def signer(self) -> str:
        """The id of the key that rows are signed with here."""
        return key_id(self.keys.own.public_key()) if self.keys.own else ""

    def append(self, event: AnyEvent) -> LedgerEntry:
        """Add an event at the end, signed."""
        return self.append_all([event])[0]

    def append_all(self, events: Sequence[AnyEvent]) -> list[LedgerEntry]:
        """Add events at the end, signed, in one transaction: all of them or none."""
        for _ in range(_TRIES):
            rows: list[Row] = []
            try:
                with _usable(self._engine), Session(self._engine, expire_on_commit=False) as session, session.begin():
                    last = session.scalars(select(Row).order_by(Row.seq.desc()).limit(1)).first()
                    for event in events:
                        rows.append(_row(event, rows[-1] if rows else last, self.keys))
                    session.add_all(rows)
                    session.flush()
            except DuplicateError:
                continue
            if self._witness:
                for row in rows:
                    self._witness.note(row.seq, row.hash, signed=bool(row.signature))
            return [
                LedgerEntry(row.seq, datetime.fromisoformat(row.at), event, row, self.keys)
                for row, event in zip(rows, events, strict=True)
            ]
        raise StorageError("ledger", f"lost {_TRIES} races for its next row", "run the command again")

    def entries(self, model: str | None = None, after: int = 0) -> Sequence[LedgerEntry]:
        """Rows in order, of one model or of all, that come after a place."""
        query = select(Row).where(Row.seq > after).order_by(Row.seq)
        if model is not None:
            query = query.where(Row.model == model)
        with _usable(self._engine), Session(self._engine) as session:
            rows = session.scalars(query).all()
            session.expunge_all()
        return [LedgerEntry(row.seq, datetime.fromisoformat(row.at), parse_event(row.body), row, self.keys) for row in rows]

    def verify(self) -> int:
        """Walk the chain and check each signature; return how many rows hold.

        Unsigned rows are allowed at the beginning only, where version 0.1.0 wrote them; no gate counts them.
        """
        last: Row | None = None
        signed = False
        end, end_hash = self._witness.last() if self._witness else (0, "")
        first = self._witness.signed_from() if self._witness else None
        with _usable(self._engine), Session(self._engine) as session:
            for row in session.scalars(select(Row).order_by(Row.seq)):
                signed = signed or bool(row.signature) or (first is not None and row.seq >= first)
                if flaw := _flaw(row, last, self.keys if signed else Keyring()):
                    raise IntegrityError(f"ledger row {row.seq}", flaw, "restore a backup of the ledger")
                if row.seq == end and row.hash != end_hash:
                    raise IntegrityError(f"ledger row {end}", "is not the row that was written here", "restore a backup")
                last = row
        rows = last.seq if last else 0
        if rows < end:
            raise IntegrityError(f"ledger row {rows + 1}", f"is missing, with all up to row {end}", "restore a backup")
        return rows

    def leases(self, seconds: float = LEASE_S) -> SqlLeases:
        """Leases in the same database, for several machines."""
        return SqlLeases(self._engine, seconds)

    @property
    def shared(self) -> bool:
        """Whether several machines may use it: everything but a SQLite file."""
        return self._engine.dialect.name != "sqlite"


def open_ledger(url: str, keys: Keyring | None = None, witness: Path | None = None) -> SqlLedger:
    """The ledger at a SQLAlchemy URL; its tables are made, or brought up to date.

    Without `keys` rows are neither signed nor checked, which is for reading and for tests. `witness` names the folder
    that holds the note of how far this ledger had come.
    """
    try:
        engine = create_engine(url, poolclass=NullPool)  # a ledger is asked rarely and from many processes
    except ModuleNotFoundError as error:  # PostgreSQL's driver
        raise missing_extra(error.name or "psycopg", "ledger URL") from error
    except (ArgumentError, ImportError, ValueError):
        raise InputError("ledger URL", "cannot be used", "write sqlite:///FILE or postgresql+psycopg://…") from None
    if engine.dialect.name not in {"sqlite", "postgresql"}:
        raise InputError("ledger URL", "cannot be used", "write sqlite:///FILE or postgresql+psycopg://…")
    if engine.dialect.name == "sqlite":
        if engine.url.database:
            Path(engine.url.database).parent.mkdir(parents=True, exist_ok=True)
        event.listen(engine, "connect", _durable)
    with _usable(engine):
        migrate(engine)
    address = engine.url.set(password=None).render_as_string()
    note = Witness(witness / f"ledger-{sha256_bytes(address.encode())[:12]}.json") if witness else None
    return SqlLedger(engine, keys or Keyring(), note)


def read_envelope(envelope: dict[str, object], keys: Keyring) -> LedgerEntry:
    """A row from its envelope. Its `flaw` says whether it is whole and signed by a trusted key."""
    try:
        row = Row(**{column: envelope[column] for column in COLUMNS})
        return LedgerEntry(row.seq, datetime.fromisoformat(row.at), parse_event(row.body), row, keys)
    except (KeyError, TypeError, ValueError) as error:
        raise InputError("evidence file", "is not a row of a ledger", "give evidence.json of a gate-evaluation run") from error


def _durable(connection: DBAPIConnection, _: ConnectionPoolEntry) -> None:
    """SQLite: readers beside a writer, and every commit on disk."""
    cursor = connection.cursor()
    for pragma in ("busy_timeout=10000", "journal_mode=WAL", "synchronous=FULL"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


@contextmanager
def _usable(engine: Engine) -> Generator[None]:
    """What a full disk, a lost server, or a file that is not a database is called here. A lost race is not an error."""
    try:
        yield
    except DuplicateError:
        raise
    except DatabaseError as error:
        address = engine.url.render_as_string(hide_password=True)
        raise StorageError(address, f"the ledger cannot be used ({error.orig})", "check the file and the server") from error


def _row(event: AnyEvent, last: Row | None, keys: Keyring) -> Row:
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
    row.signer, row.signature = keys.sign(row.hash)
    return row


def _hash(row: Row) -> str:
    """What a row's hash must be."""
    return sha256_bytes(canonical([row.seq, row.at, row.kind, row.model, row.version, row.body, row.previous]))


def _flaw(row: Row, last: Row | None, keys: Keyring) -> str | None:
    """Why a row does not follow from the one before it, or is not signed as it must be."""
    if (row.seq, row.previous) != ((last.seq + 1, last.hash) if last else (1, _GENESIS)) or row.hash != _hash(row):
        return "its hash does not follow from the row before it"
    return keys.flaw(row.hash, row.signer, row.signature)
