"""A note, outside the database, of how far a ledger had come: what makes removed or touched rows visible.

The chain of hashes shows an edited row and a gap. It cannot show that the newest rows were cut off, that a signature was
taken off, or that all of it was replaced, because what is there is a whole chain again. The note lies beside the signing
key. It is named after the ledger's first row, so no other spelling of a path leads past it.

A row is committed first and noted afterwards. So whoever compares reads the note first and the database afterwards: what a
note tells of is there then, however many processes write meanwhile.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from registry.errors import BusyError, DamagedFileError, IntegrityError, MissingFileError
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
    """

    seq: int
    hash: str
    signed_from: int | None = None
    first: str = ""
    seal: str = ""
    signer: str = ""
    places: tuple[str, ...] = ()
    ended: bool = False

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
        wanted = {"seq": int, "hash": str, "first": str, "seal": str, "signer": str, "ended": bool}
        if any(type(getattr(note, name)) is not kind for name, kind in wanted.items()):
            raise damaged
        if type(note.signed_from) not in {int, type(None)}:
            raise damaged
        return note


@dataclass(frozen=True)
class Witness:
    """The notes of one folder, from the place where a ledger is.

    `place` and `older` are the file names' digests of its address: as it is now, and as older releases spelled it. `own`: the
    ledger lies beside the folder, in one home, so that every note in it is about a ledger of this home.
    """

    folder: Path
    place: str
    older: Sequence[str] = ()
    own: bool = False

    def notes(self) -> list[Note]:
        """What is noted about a ledger at this place. Read before the database."""
        return [note for _, note in self._files() if self._is_about_here(note)]

    def writing(self) -> AbstractContextManager[None]:
        """Held while rows are added and noted: a folder in which nothing can be noted is told of before a row stands."""
        return locked(self.folder / "ledger.lock", BusyError(self.folder, "is written by another process", "try again"))

    def note(self, walk: Walk, signer: str, signed_from: int | None) -> None:
        """Remember how far the ledger has come, unless more is remembered already."""
        path = self.folder / f"ledger-{walk.first[:12]}.json"
        known = Note.of(path) if path.exists() else Note(0, "", first=walk.first)
        if walk.seq <= known.seq:
            return
        older = [note for note in self.notes() if not note.first and not note.ended]
        starts = [start for start in (signed_from, known.signed_from, *(note.signed_from for note in older)) if start]
        places = tuple(sorted({*known.places, self.place}))
        fields = {"seq": walk.seq, "hash": walk.hash, "seal": walk.seal, "signer": signer or known.signer}
        fresh = replace(known, **fields, places=places, signed_from=min(starts, default=None))
        write_json(path, asdict(fresh))
        self._take_over()

    def end(self) -> int:
        """Another ledger is begun at this place on purpose: what is noted counts no more; how many notes that ends."""
        live = [(path, note) for path, note in self._files() if self._is_about_here(note) and not note.ended]
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
        others = [note for note in notes if not note.ended and (note.first or not first)]
        if others and not first:
            rows = max(note.seq for note in others)
            raise IntegrityError("ledger", f"is empty, but {rows} rows were written here", _BEGIN)
        if others:
            raise IntegrityError("ledger", "is not the one that was written here: it begins with another row", _BEGIN)
        return None

    def _files(self) -> Iterator[tuple[Path, Note]]:
        for path in sorted(self.folder.glob("ledger-*.json")):
            try:
                note = Note.of(path)
            except MissingFileError:
                continue  # taken over meanwhile
            if not note.first and path.stem.removeprefix("ledger-") in self.older:
                note = replace(note, places=(self.place,))
            yield path, note

    def _is_about_here(self, note: Note) -> bool:
        return self.own or self.place in note.places

    def _take_over(self) -> None:
        """Notes of older releases: what they say is in the new one."""
        for path, note in self._files():
            if not note.first and self._is_about_here(note):
                path.unlink(missing_ok=True)
