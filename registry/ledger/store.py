"""The ledger in a database: SQLite by default, any other by its SQLAlchemy URL."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import nullcontext, suppress
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from pathlib import Path

from sqlalchemy import Connection, insert
from sqlalchemy.exc import IntegrityError as DuplicateError

from registry.digests import canonical
from registry.errors import InputError, IntegrityError, StorageError
from registry.events import AnyEvent, now, parse_event
from registry.ledger.chain import Fields, Walk, hash_of
from registry.ledger.database import Database, usable
from registry.ledger.leases import LEASE_S, SqlLeases
from registry.ledger.models import Row
from registry.ledger.reading import RESTORE, Known, Reading
from registry.ledger.witness import Note, Witness
from registry.signing import HomeKeys, Keyring, key_id

_TRIES = 20
_KEY = "restore the key from a backup, or make another with `modelyard ledger key --new`"


@dataclass(frozen=True)
class LedgerEntry:
    """One row, read back. `flaw` is worked out when it is asked for, because a signature takes time to check."""

    seq: int
    at: datetime
    event: AnyEvent
    row: Fields = field(compare=False, repr=False)
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
        if self.row.hash != hash_of(self.row):
            return "it was changed after it was written"
        return self.keys.flaw(self.row.hash, self.row.signer, self.row.signature)

    @property
    def envelope(self) -> dict[str, object]:
        """The whole row, with hash and signature: what can be checked anywhere with the public key alone."""
        return self.row._asdict()


class SqlLedger:
    """A ledger behind a SQLAlchemy engine.

    Two writers that race for the same place in the chain collide on the primary key, and the later one
    tries again on top of the earlier: no lock is needed and no row is lost.

    Nothing is answered from rows that the witness contradicts, and none is added to them: what is edited, missing or
    replaced up to the row that it remembers raises IntegrityError. A row that no trusted key signed decides nothing, which
    its `flaw` says.

    What was read and compared once is remembered here: a later look at one model reads its rows, and those that are newer.
    Rows that are missing show at once, and edits of the model's own; edits of another model's in the first look at that.
    """

    def __init__(
        self, database: Database, keys: Keyring, witness: Witness | None = None, home_keys: HomeKeys | None = None
    ) -> None:
        """Use a database; `open_ledger` makes one. With `home_keys`, a key to sign with is made by the first row."""
        self.database, self.keys, self._witness, self._home_keys = database, keys, witness, home_keys
        self._known: Known | None = None

    @property
    def signer(self) -> str:
        """The id of the key that rows are signed with here."""
        return key_id(self.keys.own.public_key()) if self.keys.own else ""

    def append(self, event: AnyEvent) -> LedgerEntry:
        """Add an event at the end, signed."""
        return self.append_all([event])[0]

    def append_all(self, events: Sequence[AnyEvent]) -> list[LedgerEntry]:
        """Add events at the end, signed, in one transaction: all of them or none."""
        with self._witness.writing() if self._witness else nullcontext():
            if not self.database.exists():
                self._reading(None).check_empty()  # before one is made in the place of one that is gone
                self.database.make()
            for _ in range(_TRIES):
                with suppress(DuplicateError):
                    return self._append(events)
        raise StorageError("ledger", f"lost {_TRIES} races for its next row", "run the command again")

    def _append(self, events: Sequence[AnyEvent]) -> list[LedgerEntry]:
        """Add events, and note how far the ledger has come. Raises SQLAlchemy's IntegrityError for a race that was lost."""
        rows = list[Fields]()
        with usable(self.database.engine), self.database.engine.begin() as connection:
            walk, mine = self._read_to_add(connection)
            keys = self._to_sign(walk, mine)
            for event in events:
                rows.append(make_row(event, walk, keys))
                walk.step(rows[-1])
            connection.execute(insert(Row), [row._asdict() for row in rows])
        if self._witness and rows:
            self._witness.note(walk, rows[-1].signer, rows[0].seq if rows[0].signature else None)
        self._known = Known(walk, (walk.seq, walk.seal))
        return [_entry(row, keys, event) for row, event in zip(rows, events, strict=True)]

    def entries(self, model: str | None = None, after: int = 0) -> Sequence[LedgerEntry]:
        """Rows in order, of one model or of all, that come after a place. Raises IntegrityError where rows were touched.

        Rows are compared with the witness's seal, each model's with what was read before. Whoever asks for all models' rows
        after a place has read, and so compared, those before: then only newer rows are read, and none may be missing.
        """
        reading, rows = self._reading(None), list[Fields]()
        if not self.database.exists():
            reading.check_empty()
            return []
        with usable(self.database.engine), self.database.engine.connect() as connection:
            reading.connection = connection
            if model is None and after:
                rows = reading.newer(after)
            elif model is None or (remembered := self._remembered(reading, model)) is None:
                self._read_on(reading, None, rows)
            else:
                rows = remembered
        return self._entries(row for row in rows if row.seq > after and model in {None, row.model})

    def verify(self) -> int:
        """Walk the chain and check each signature; return how many rows hold.

        Unsigned rows are allowed at the beginning only, where version 0.1.0 wrote them; no gate counts them.
        """
        reading = self._reading(None)
        if not self.database.exists():
            reading.check_empty()
            return 0
        with usable(self.database.engine), self.database.engine.connect() as connection:
            reading.connection = connection
            walk, mine = reading.verify()
            self._check_keys(self.keys, walk, mine)
            return walk.seq

    def leases(self, seconds: float = LEASE_S) -> SqlLeases:
        """Leases in the same database, for several machines."""
        return SqlLeases(self.database, seconds)

    @property
    def shared(self) -> bool:
        """Whether several machines may use it: everything but a SQLite file."""
        return self.database.engine.dialect.name != "sqlite"

    def begin_anew(self) -> list[Path]:
        """Give this ledger up, on purpose, for a new one; the files that it is kept in under other names.

        Raises RefusedError where the home's ledger is another one, elsewhere: that one is not given up by this.
        """
        first = self.database.first_hash() if self._witness else ""
        if self._witness is not None:
            self._witness.check_may_end(first)
        kept = self.database.give_up()
        if self._witness is not None:
            self._witness.end(first)
        self._known = None
        return kept

    def _reading(self, connection: Connection | None) -> Reading:
        """A comparison with what is noted by now: made before the database is read, see `witness.py`."""
        return Reading(connection, self.keys, self._witness)

    def _read_to_add(self, connection: Connection) -> tuple[Walk, Note | None]:
        """Read to the end, before something is added there."""
        reading, known = self._reading(connection), self._known
        walk, mine = self._read_on(reading, known if known and reading.holds(known) else None)
        return walk.copy(), mine

    def _read_on(self, reading: Reading, known: Known | None, into: list[Fields] | None = None) -> tuple[Walk, Note | None]:
        """Read to the end, from what is known on, and remember it."""
        walk, mine = reading.walk(into, known)
        self._check_keys(self.keys, walk, mine)
        self._known = Known(walk, (mine.seq, mine.seal) if mine else None)
        return walk, mine

    def _remembered(self, reading: Reading, model: str) -> list[Fields] | None:
        """A model's rows, of which only those are read; None where the whole ledger has to be."""
        known = self._known
        if known is None or not reading.holds(known) or (rows := reading.rows_of(model, known.walk)) is None:
            return None
        newer = list[Fields]()
        self._read_on(reading, known, newer)
        return rows + newer

    def _check_keys(self, keys: Keyring, walk: Walk, mine: Note | None) -> None:
        """A home whose key is gone, or was replaced, must not judge anew what that key signed."""
        if self._home_keys is None or not walk.signed:
            return
        signer = mine.signer if mine else ""
        if _vouch(keys, signer):
            return
        self.keys = self._home_keys.read()  # another process may have made the key since this one looked
        if not _vouch(self.keys, signer):
            raise IntegrityError(self._home_keys.path, f"is not the key that signed the ledger's rows {signer}".strip(), _KEY)

    def _entries(self, rows: Iterable[Fields]) -> list[LedgerEntry]:
        """Rows with the keys to check them by, which are read again where one was signed by a key that is not known yet."""
        wanted = list(rows)
        if self._home_keys and {row.signer for row in wanted if row.signer} - self.keys.trusted.keys():
            self.keys = self._home_keys.read()
        return [_entry(row, self.keys) for row in wanted]

    def _to_sign(self, walk: Walk, mine: Note | None) -> Keyring:
        """The keys to sign with, as they are by now. One is made for a ledger in which nothing was signed, and for no other."""
        if self._home_keys is None:
            return self.keys
        keys = self._home_keys.read()
        if keys.own is None and walk.signed:
            raise InputError(self._home_keys.path, "is not there, and the ledger's rows are signed", _KEY)
        self._check_keys(keys, walk, mine)
        self.keys = self._home_keys.to_sign(keys)
        return self.keys


def open_ledger(url: str, keys: Keyring | None = None, witness: Path | None = None) -> SqlLedger:
    """The ledger at a SQLAlchemy URL; its tables are made, or brought up to date.

    Without `keys` rows are neither signed nor checked, which is for reading and for tests. `witness` names the folder
    that holds the note of how far this ledger had come.
    """
    database = Database.at(url)
    database.make()
    return SqlLedger(database, keys or Keyring(), database.witness(witness) if witness else None)


def _vouch(keys: Keyring, signer: str) -> bool:
    """Whether keys can tell which rows count; `signer` made the newest that is noted, where that is known."""
    return bool(keys.trusted) and (not signer or signer in keys.trusted)


def read_envelope(envelope: dict[str, object], keys: Keyring) -> LedgerEntry:
    """A row from its envelope. Its `flaw` says whether it is whole and signed by a trusted key."""
    try:
        return _entry(Fields(**{column: envelope[column] for column in Fields._fields}), keys)  # type: ignore[arg-type]
    except (KeyError, TypeError, IntegrityError) as error:
        raise InputError("evidence file", "is not a row of a ledger", "give evidence.json of a gate-evaluation run") from error


def make_row(event: AnyEvent, last: Walk, keys: Keyring) -> Fields:
    """The row that follows the last one that was read."""
    body = canonical(event.model_dump(mode="json")).decode()
    bare = Fields(last.seq + 1, now().isoformat(), event.kind, event.model, event.version, body, last.hash)
    hashed = hash_of(bare)
    signer, signature = keys.sign(hashed)
    return bare._replace(hash=hashed, signer=signer, signature=signature)


def _entry(row: Fields, keys: Keyring, event: AnyEvent | None = None) -> LedgerEntry:
    try:
        return LedgerEntry(row.seq, datetime.fromisoformat(row.at), event or parse_event(row.body), row, keys)
    except (TypeError, ValueError) as error:
        raise IntegrityError(f"ledger row {row.seq}", "cannot be read", RESTORE) from error
