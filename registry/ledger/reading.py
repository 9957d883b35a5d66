"""Reading a ledger's rows and comparing them with what its witness remembers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NoReturn

from sqlalchemy import Connection, text

from registry.errors import IntegrityError
from registry.ledger.chain import Fields, Walk, hash_of, next_mark
from registry.ledger.witness import RESTORE, Note, Witness
from registry.signing import Keyring

_ROWS = text(f"select {', '.join(Fields._fields)} from ledger where seq >= :start order by seq")  # noqa: S608 our own columns
_ONE = text("select hash from ledger where seq = :seq")
_OF_MODEL = text(f"select {', '.join(Fields._fields)} from ledger where model = :model and seq <= :seq order by seq")  # noqa: S608
_COUNT = text("select count(*) from ledger where +seq <= :seq")
"""With a sign, so that SQLite counts in its smallest index instead of reading every row's text."""
_LEAST = text("select min(seq) from ledger")
_LOWEST = -(2**31)


@dataclass(frozen=True, slots=True)
class Known:
    """What a process has read of a ledger, and compared with what was noted: it need not read all of that again.

    `noted` is the place and the seal of the note that it was compared with; None where nothing was noted.
    """

    walk: Walk
    noted: tuple[int, str] | None


class Reading:
    """One look at a ledger. What is noted is read when this is made; the database comes afterwards.

    Without a witness nothing is compared, which is for whoever only has an address.
    """

    def __init__(self, connection: Connection | None, keys: Keyring, witness: Witness | None) -> None:
        """The connection may be given later, once it is known that there is a database."""
        self.connection, self._keys, self._witness = connection, keys, witness
        self._notes = witness.notes() if witness else []
        self._older = {note.seq: note for note in witness.of_older_releases(self._notes)} if witness else dict[int, Note]()

    def check_empty(self) -> None:
        """Raise IntegrityError where rows were written to a ledger that has none."""
        self._note_of("")

    def walk(self, into: list[Fields] | None = None, known: Known | None = None) -> tuple[Walk, Note | None]:
        """Read every row, or those after what is known, kept in `into`; where that ends, and the note about this ledger."""
        walk = known.walk.copy() if known else Walk()
        mine = self._note_of(walk.first) if known else None
        for row in self._rows(walk.seq + 1 if known else _LOWEST):
            if not walk.seq:
                mine = self._note_of(row.hash)
            if self._witness and not walk.is_followed_by(row, sealed=mine is not None and row.seq <= mine.seq):
                self._name_what_differs()
            walk.step(row)
            if mine is not None and row.seq == mine.seq and walk.seal != mine.seal:
                self._name_what_differs()
            if row.seq in self._older and self._older[row.seq].hash != row.hash:
                self._name_what_differs()
            if into is not None:
                into.append(row)
        if not walk.seq:
            self.check_empty()
        if walk.seq < max([*self._older, mine.seq if mine else 0]):
            self._name_what_differs()
        return walk, mine

    def holds(self, known: Known) -> bool:
        """Whether what is known is there still: each row, the last as it was, and no note that it was not compared with.

        An edit of an older row is not looked for here: it shows in that row's own hash and signature, in `rows_of`, and to
        whoever reads the whole ledger.
        """
        walk = known.walk
        if not walk.seq or not self._are_all_there(walk.seq) or self._hash_at(walk.seq) != walk.hash:
            return False
        if any(self._hash_at(note.seq) != note.hash for note in self._older.values() if note.seq <= walk.seq):
            return False
        mine = self._note_of(walk.first)
        return mine is None or mine.seq > walk.seq or (mine.seq, mine.seal) in {known.noted, (walk.seq, walk.seal)}

    def rows_of(self, model: str, walk: Walk) -> list[Fields] | None:
        """A model's rows among those that were walked; None where they are not as they were then."""
        stored = self._connected().execute(_OF_MODEL, {"model": model, "seq": walk.seq})
        rows, mark = [Fields._make(row) for row in stored], ""
        for row in rows:
            if row.hash != hash_of(row):
                return None
            mark = next_mark(mark, row)
        return rows if mark == walk.models.get(model, "") else None

    def newer(self, after: int) -> list[Fields]:
        """The rows from a place on: each follows from the one before, and none is missing up to the newest that is noted."""
        mine, walk, rows = self._note_of(self._hash_at(1)), Walk(), list[Fields]()
        for row in self._rows(after):
            if self._witness and walk.seq and not walk.is_followed_by(row):
                self._name_what_differs()
            walk.step(row)
            rows.append(row)
        for note in [*self._older.values(), *([mine] if mine else [])]:
            if not self._are_all_there(note.seq) or self._hash_at(note.seq) != note.hash:
                self._name_what_differs()
        return rows

    def verify(self) -> tuple[Walk, Note | None]:
        """Read every row and check its hash and signature, too. Raises IntegrityError naming the first that does not hold."""
        walk, mine, ends = Walk(), None, dict(self._older)
        for row in self._rows():
            if not walk.seq and (mine := self._note_of(row.hash)):
                ends[mine.seq] = mine
            signed = walk.signed or bool(row.signature) or row.seq >= min(_first_signed(ends), default=row.seq + 1)
            if flaw := self._flaw(row, walk, signed=signed):
                raise IntegrityError(f"ledger row {row.seq}", flaw, RESTORE)
            walk.step(row)
            if row.seq in ends:
                _compare(walk, ends[row.seq])
        if not walk.seq:
            self.check_empty()
        if (end := max(ends, default=0)) > walk.seq:
            raise IntegrityError(f"ledger row {walk.seq + 1}", f"is missing, with all up to row {end}", RESTORE)
        return walk, mine

    def _flaw(self, row: Fields, walk: Walk, *, signed: bool) -> str | None:
        """Why a row does not follow from the one before it, or is not signed as it must be."""
        if not walk.is_followed_by(row):
            return "its hash does not follow from the row before it"
        return self._keys.flaw(row.hash, row.signer, row.signature) if signed else None

    def _note_of(self, first: str) -> Note | None:
        return self._witness.check(self._notes, first) if self._witness else None

    def _name_what_differs(self) -> NoReturn:
        self.verify()
        raise IntegrityError("ledger", "was touched while it was read", RESTORE)

    def _rows(self, start: int = _LOWEST) -> Iterator[Fields]:
        """The rows from a place on, in order. There is none before the first, unless somebody put one there."""
        return map(Fields._make, self._connected().execute(_ROWS, {"start": start}))

    def _are_all_there(self, seq: int) -> bool:
        """Whether there are rows 1 to `seq`, and none before them."""
        count = self._connected().execute(_COUNT, {"seq": seq}).scalar()
        return count == seq and self._connected().execute(_LEAST).scalar() == 1

    def _hash_at(self, seq: int) -> str:
        return str(self._connected().execute(_ONE, {"seq": seq}).scalar() or "")

    def _connected(self) -> Connection:
        if self.connection is None:
            raise IntegrityError("ledger", "has no database", RESTORE)
        return self.connection


def _first_signed(ends: dict[int, Note]) -> list[int]:
    return [note.signed_from for note in ends.values() if note.signed_from]


def _compare(walk: Walk, note: Note) -> None:
    """Raise IntegrityError where the rows up to a note are not those that it stands for."""
    if note.hash != walk.hash:
        raise IntegrityError(f"ledger row {walk.seq}", "is not the row that was written here", RESTORE)
    if note.seal and note.seal != walk.seal:
        raise IntegrityError(f"ledger rows up to {walk.seq}", "are not all as they were written here", RESTORE)
