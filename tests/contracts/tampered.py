"""A home whose ledger somebody touches, and what each way to use it says then."""

from __future__ import annotations

import atexit
import shutil
import sqlite3
import tempfile
from collections.abc import Callable
from dataclasses import asdict, replace
from functools import cache
from pathlib import Path

import pytest

from registry.errors import ModelyardError
from registry.events import Archived
from registry.files import write_json
from registry.ledger.chain import Fields, hash_of
from registry.ledger.witness import Note
from registry.opening import ledger_of
from registry.settings import Settings

ROWS = 6


def event(number: int, model: str = "hand") -> Archived:
    return Archived(model=model, version=number, created_ms=1, digest="d", actor="ada")


def new_home(folder: Path) -> Settings:
    """A home with rows of two models, and a key of its own."""
    here = Settings(home=folder)
    ledger_of(here).append_all([event(number, "foot" if number % 3 == 0 else "hand") for number in range(1, ROWS + 1)])
    return here


@cache
def _made() -> Path:
    """Such a home, made once and touched by nobody: tables and keys take longer than most attacks."""
    folder = Path(tempfile.mkdtemp(prefix="modelyard-tampered-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return new_home(folder / "home").home


def a_home(folder: Path) -> Settings:
    """A home as `new_home` leaves it there; all have one key and the same rows."""
    here = Settings(home=Path(shutil.copytree(_made(), folder, dirs_exist_ok=True)))
    witness = ledger_of(here).database.witness(here.key.parent)
    (path,) = here.key.parent.glob("ledger-*.json")
    places = tuple(sorted({witness.place, witness.kin}))
    write_json(path, asdict(replace(Note.of(path), places=places, address=witness.address)))  # as if it was written there
    return here


def as_owner(folder: Path, *statements: str) -> None:
    with sqlite3.connect(folder / "ledger.db") as db:
        for verb in ("update", "delete", "replace"):
            db.execute(f"drop trigger if exists ledger_no_{verb}")
        for statement in statements:
            db.execute(statement)
    db.close()


def rechained(folder: Path, start: int) -> None:
    """Compute every hash from a row on anew, as an attacker does who cannot sign."""
    with sqlite3.connect(folder / "ledger.db") as db:
        rows = [Fields(*row) for row in db.execute(f"select {', '.join(Fields._fields)} from ledger order by seq")]
        previous = "0" * 64
        for number, row in enumerate(rows, 1):
            fresh = row._replace(seq=number, previous=previous)
            fresh = fresh._replace(hash=hash_of(fresh)) if number >= start else fresh
            values = (fresh.seq, fresh.previous, fresh.hash, row.seq)
            db.execute("update ledger set seq = ?, previous = ?, hash = ? where seq = ?", values)
            previous = fresh.hash
    db.close()


def refused(here: Settings) -> list[str]:
    """What each way to use the ledger says; raises where one of them goes ahead."""
    lines = list[str]()
    uses: list[Callable[[], object]] = [
        lambda: ledger_of(here).verify(),
        lambda: ledger_of(here).append(event(99)),
        lambda: ledger_of(here).entries(),
        lambda: ledger_of(here).entries("hand"),
        lambda: ledger_of(here).entries("foot"),
    ]
    for use in uses:
        with pytest.raises(ModelyardError) as caught:
            use()
        lines.append(str(caught.value))
    assert all("\n" not in line and line.count(";") >= 1 for line in lines)
    return lines
