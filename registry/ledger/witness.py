"""A note, outside the database, of how far a ledger had come: what makes removed or touched rows visible.

The chain of hashes shows an edited row and a gap. It cannot show that the newest rows were cut off, that a signature was
taken off, or that all of it was replaced, because what is there is a whole chain again. The note lies beside the signing
key. It is named after the ledger's first row, and found by that wherever the ledger lies: no other spelling of an address,
and no copy, leads past it.

A row is committed first and noted afterwards. So whoever compares reads the note first and the database afterwards: what a
note tells of is there then, however many processes write meanwhile.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from registry.errors import BusyError, DamagedFileError, IntegrityError, MissingFileError, RefusedError
from registry.files import read_json, write_json
from registry.lease import locked
from registry.ledger.chain import Walk

_REMEDY = "restore it from a backup; if there is none, check the ledger, then remove this file"
RESTORE = "restore a backup of the ledger"
_BEGIN = f"{RESTORE}, or begin a new one with `modelyard ledger begin`"


@dataclass(frozen=True)
class Note:
    """The newest row that this machine added, and what stands for all rows up to it.

    `first` is the hash of the ledger's first row, empty in notes of older releases, which knew no `seal` either. `places`:
    digests of the addresses it was found at. `signer`: the key it was written with. `ended`: another was begun on purpose.
    `address`: where it lay when that was noted, without a password; empty in notes of older releases.
    """

    seq: int
    hash: str
    signed_from: int | None = None
    first: str = ""
    seal: str = ""
    signer: str = ""
    places: tuple[str, ...] = ()
    ended: bool = False
    address: str = ""

    @classmethod
    def of(cls, path: Path) -> Note:
        """A note from its file. Raises DamagedFileError."""
        damaged = DamagedFileError(path, "is damaged: it does not say how far a ledger had come", _REMEDY)
        try:
            fields = dict[str, Any](read_json(path, _REMEDY))
            note = cls(**fields | {"places": tuple(map(str, fields.get("places", ())))})  # type: ignore[arg-type]
        except (MissingFileError, DamagedFileError):
            raise
        except (TypeError, ValueError) as error:
            raise damaged from error
        wanted = {"seq": int, "hash": str, "first": str, "seal": str, "signer": str, "ended": bool, "address": str}
        if any(type(getattr(note, name)) is not kind for name, kind in wanted.items()):
            raise damaged
        if type(note.signed_from) not in {int, type(None)}:
            raise damaged
        return note


@dataclass(frozen=True)
class Witness:
    """The notes of one folder, from the place where a ledger is.

    `address`, as people read it, and `place`, its digest. `older`: digests by which older releases named their files. `kin`:
    a digest of where the ledger lies beside the folder, in one home; it stays the same when the home is moved. Empty for a
    ledger elsewhere.
    """

    folder: Path
    address: str
    place: str
    older: Sequence[str] = ()
    kin: str = ""

    def notes(self) -> list[Note]:
        """All that is noted in the folder: a ledger may be another's copy. Read before the database."""
        return [note for _, note in self._files()]

    def of_older_releases(self, notes: Sequence[Note]) -> list[Note]:
        """Those about a ledger here that do not say how it began, so that nothing but the place tells which it is."""
        return [note for note in notes if not note.first and not note.ended and self._may_be_here(note)]

    def writing(self) -> AbstractContextManager[None]:
        """Held while rows are added and noted: a folder in which nothing can be noted is told of before a row stands."""
        return locked(self.folder / "ledger.lock", BusyError(self.folder, "is written by another process", "try again"))

    def note(self, walk: Walk, signer: str, signed_from: int | None) -> None:
        """Remember how far the ledger has come. Raises IntegrityError where it had come further, or to another row.

        Called while `writing` is held, so no other process of this machine has added rows since they were read.
        """
        path = self.folder / f"ledger-{walk.first[:12]}.json"
        known = Note.of(path) if path.exists() else Note(0, "", first=walk.first)
        if (walk.seq, walk.hash) == (known.seq, known.hash):
            return
        if walk.seq <= known.seq:
            raise IntegrityError(f"ledger row {walk.seq}", "was added in the place of one that was written before", RESTORE)
        starts = [start for start in (signed_from, known.signed_from) if start]
        starts += [note.signed_from for note in self.of_older_releases(self.notes()) if note.signed_from]
        places = tuple(sorted({*known.places, *self._here}))
        fields = {"seq": walk.seq, "hash": walk.hash, "seal": walk.seal, "signer": signer or known.signer}
        fresh = replace(known, **fields, places=places, signed_from=min(starts, default=None), address=self.address)
        write_json(path, asdict(fresh))
        self._take_over()

    def check_may_end(self, first: str) -> None:
        """Raise RefusedError where ending the ledger of this place would not do, because the home's lies elsewhere."""
        left = [note for note in self._others(self.notes()) if not self._ends(note, first)]
        if left:
            raise RefusedError("ledger", f"is not at {self.address}: {_count(left)} were {_where(left)}", _elsewhere(left))

    def end(self, first: str) -> int:
        """Another ledger is begun at this place on purpose: what is noted of this one, which `first` began, counts no more.

        How many notes that ends; those of ledgers elsewhere stay.
        """
        live = [(path, note) for path, note in self._files() if not note.ended and self._ends(note, first)]
        for path, note in live:
            write_json(path, asdict(replace(note, ended=True)))
        return len(live)

    def check(self, notes: Sequence[Note], first: str) -> Note | None:
        """The note about the ledger that begins with that row. Raises IntegrityError where others say another was here."""
        mine = max((note for note in notes if note.first and note.first == first), key=lambda note: note.seq, default=None)
        if mine is not None:
            if mine.ended:
                raise IntegrityError("ledger", "was given up here for a new one", "restore the one that was begun after it")
            return mine
        others = [note for note in self._others(notes) if note.first or not first]
        if not others:
            return None
        elsewhere = not any(self._ends(note, first) for note in others)
        where, remedy = (_where(others), _elsewhere(others)) if elsewhere else ("written here", _BEGIN)
        if not first:
            raise IntegrityError("ledger", f"is empty, but {_count(others)} were {where}", remedy)
        raise IntegrityError("ledger", f"is not the one that was {where}: it begins with another row", remedy)

    @property
    def _here(self) -> set[str]:
        return {self.place, self.kin} - {""}

    def _files(self) -> Iterator[tuple[Path, Note]]:
        for path in sorted(self.folder.glob("ledger-*.json")):
            try:
                note = Note.of(path)
            except MissingFileError:
                continue  # taken over meanwhile
            if not note.first and path.stem.removeprefix("ledger-") in self.older:
                note = replace(note, places=(self.place,))
            yield path, note

    def _others(self, notes: Sequence[Note]) -> list[Note]:
        """Notes in force that speak about this place: those of ledgers that lay here, or else of any ledger of this home."""
        here = [note for note in notes if not self._here.isdisjoint(note.places)]
        return [note for note in here or (notes if self.kin else []) if not note.ended]

    def _may_be_here(self, note: Note) -> bool:
        return bool(self.kin) or not self._here.isdisjoint(note.places)

    def _ends(self, note: Note, first: str) -> bool:
        """Whether giving up the ledger of this place ends a note. An older one does not say where in a moved home it lay."""
        by_row = bool(self.kin and first) and (note.first, note.address) == (first, "")
        return by_row or not self._here.isdisjoint(note.places)

    def _take_over(self) -> None:
        """Notes of older releases: what they say is in the new one."""
        for path, note in self._files():
            if not note.first and self._may_be_here(note):
                path.unlink(missing_ok=True)


def _count(notes: Sequence[Note]) -> str:
    return f"{max(note.seq for note in notes)} rows"


def _where(notes: Sequence[Note]) -> str:
    known = sorted({note.address for note in notes if note.address})
    return f"written at {', '.join(known)}" if known else "written at another address"


def _elsewhere(notes: Sequence[Note]) -> str:
    files = ", ".join(f"ledger-{note.first[:12]}.json" for note in notes if note.first) or "its note"
    return f"name that one in MODELYARD_LEDGER_URL; if it is gone for good, remove {files} beside the signing key"
