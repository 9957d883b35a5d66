"""The witness of a ledger: whom it alarms and whom it does not, and the ways that change it on purpose."""

from __future__ import annotations

import json
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from registry.digests import sha256_bytes
from registry.errors import IntegrityError, ModelyardError
from registry.ledger.chain import Walk
from registry.ledger.database import Database
from registry.ledger.store import SqlLedger, open_ledger
from registry.opening import keys_of, ledger_of
from registry.settings import Settings
from registry.signing import Keyring, key_id

sys.path.insert(0, str(Path(__file__).parent))
from tampered import ROWS, a_home, as_owner, event, refused


def test_a_process_that_dies_between_a_row_and_its_note_raises_no_alarm(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from registry.ledger.witness import Witness

    here = a_home(tmp_path)
    with monkeypatch.context() as patched:
        patched.setattr(Witness, "note", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            ledger_of(here).append(event(7))
    assert ledger_of(here).verify() == ROWS + 1
    ledger_of(here).append(event(8))
    assert len(ledger_of(here).entries()) == ROWS + 2
    as_owner(tmp_path, "update ledger set signature = '' where seq = 7")
    refused(here)


_WRITER = """
import sys
from pathlib import Path
from registry.events import Archived
from registry.opening import ledger_of
from registry.settings import Settings

here = Settings(home=Path(sys.argv[1]))
for number in range(int(sys.argv[2]), int(sys.argv[2]) + 12):
    ledger_of(here).append(Archived(model="hand", version=number, created_ms=1, digest="d", actor="ada"))
    ledger_of(here).entries("hand")
    ledger_of(here).entries(after=3)
"""


def test_processes_that_write_and_read_at_once_raise_no_alarm(tmp_path: Path) -> None:
    here = a_home(tmp_path)
    commands = [[sys.executable, "-c", _WRITER, str(tmp_path), str(start)] for start in (100, 200, 300)]
    writers = [subprocess.Popen(command, stderr=subprocess.PIPE, text=True) for command in commands]
    errors = [writer.communicate()[1] for writer in writers]
    assert [writer.returncode for writer in writers] == [0, 0, 0], errors
    assert ledger_of(here).verify() == ROWS + 36


def test_a_witness_of_an_older_release_is_taken_over(tmp_path: Path) -> None:
    here = a_home(tmp_path)
    note = next((tmp_path / "keys").glob("ledger-*.json"))
    fields = json.loads(note.read_text())
    note.unlink()
    address = f"sqlite:///{tmp_path / 'ledger.db'}"
    older = tmp_path / "keys" / f"ledger-{sha256_bytes(address.encode())[:12]}.json"
    older.write_text(json.dumps({key: fields[key] for key in ("seq", "hash", "signed_from")}))
    assert len(ledger_of(here).entries()) == ROWS
    with sqlite3.connect(tmp_path / "ledger.db") as db:
        kept = db.execute("select * from ledger where seq = 6").fetchone()
    db.close()
    as_owner(tmp_path, "delete from ledger where seq = 6")
    refused(here)
    with sqlite3.connect(tmp_path / "ledger.db") as db:
        db.execute(f"insert into ledger values ({', '.join('?' * len(kept))})", kept)
    db.close()
    ledger_of(here).append(event(7))
    assert not older.exists()
    assert json.loads(note.read_text())["seq"] == ROWS + 1
    as_owner(tmp_path, "delete from ledger where seq = 7")
    refused(here)


def test_a_new_ledger_is_begun_on_purpose_and_the_old_one_does_not_come_back(tmp_path: Path) -> None:
    here = a_home(tmp_path)
    (kept, *_) = ledger_of(here).begin_anew()
    assert list(ledger_of(here).entries()) == []
    ledger_of(here).append(event(1, "new"))
    assert ledger_of(here).verify() == 1
    for suffix in ("", "-wal", "-shm"):
        (tmp_path / f"ledger.db{suffix}").unlink(missing_ok=True)
    shutil.copy(kept, tmp_path / "ledger.db")
    assert "given up" in refused(here)[0]


def test_another_key_is_made_on_purpose_and_what_the_one_before_signed_counts(tmp_path: Path) -> None:
    here = a_home(tmp_path)
    before = ledger_of(here).keys.own
    assert before is not None
    (tmp_path / "keys" / "signing.pem").unlink()
    assert len(ledger_of(here).entries()) == ROWS  # its public half lies among the trusted keys
    with pytest.raises(ModelyardError, match="ledger key --new"):
        ledger_of(here).append(event(7))
    fresh = keys_of(here).renew().own
    assert fresh is not None
    assert key_id(fresh.public_key()) != key_id(before.public_key())
    ledger_of(here).append(event(7))
    assert ledger_of(here).verify() == ROWS + 1
    assert all(entry.flaw is None for entry in ledger_of(here).entries())


def test_a_process_that_looked_before_the_first_row_learns_the_key_that_another_has_made(tmp_path: Path) -> None:
    early, late = Settings(home=tmp_path), Settings(home=tmp_path)
    watching = ledger_of(early)
    assert list(watching.entries()) == []
    ledger_of(late).append(event(1))
    assert [entry.flaw for entry in watching.entries("hand")] == [None]
    keys_of(late).renew()
    ledger_of(late).append(event(2))
    assert [entry.flaw for entry in watching.entries("hand")] == [None, None]
    assert [entry.flaw for entry in watching.entries(after=1)] == [None]
    assert watching.append(event(4)).seq == 3
    assert [entry.flaw for entry in ledger_of(late).entries()] == [None] * 3


def test_a_renewed_key_keeps_the_private_half_of_the_one_before(tmp_path: Path) -> None:
    here = a_home(tmp_path)
    text = here.key.read_bytes()
    keys_of(here).renew()
    assert (tmp_path / "keys" / "signing.pem.retired").read_bytes() == text
    assert here.key.read_bytes() != text


def test_a_ledger_with_another_address_in_the_same_home_is_another_ledger(tmp_path: Path) -> None:
    here = a_home(tmp_path / "home")
    elsewhere = open_ledger(f"sqlite:///{tmp_path / 'shared' / 'ledger.db'}", None, here.home / "keys")
    elsewhere.append(event(1))
    assert elsewhere.verify() == 1
    assert ledger_of(here).verify() == ROWS


def test_reading_makes_nothing(tmp_path: Path) -> None:
    here = Settings(home=tmp_path / "home")
    uses: Sequence[Callable[[], object]] = (
        ledger_of(here).entries,
        ledger_of(here).verify,
        lambda: ledger_of(here).entries("hand", 3),
    )
    for use in uses:
        assert not use()
    assert list(tmp_path.iterdir()) == []


def test_a_row_that_cannot_be_read_is_one_line(tmp_path: Path) -> None:
    ledger = open_ledger(f"sqlite:///{tmp_path / 'ledger.db'}")
    ledger.append(event(1))
    as_owner(tmp_path, "update ledger set body = 'no json'")
    with pytest.raises(IntegrityError, match="row 1: cannot be read"):
        ledger.entries()


def test_a_ledger_of_a_newer_release_is_one_line(tmp_path: Path) -> None:
    here = a_home(tmp_path)
    as_owner(tmp_path, "update modelyard_ledger_version set version_num = '0999'")
    assert all("newer release" in line for line in refused(here))


def _at(folder: Path, notes: Path) -> SqlLedger:
    """A ledger outside any home, as one in another database is; nothing is made by opening it."""
    database = Database.at(f"sqlite:///{folder / 'ledger.db'}")
    return SqlLedger(database, Keyring(), database.witness(notes))


def _links(folder: Path) -> Path:
    beside = folder.with_name("elsewhere")
    beside.mkdir()
    (beside / "ledger.db").hardlink_to(folder / "ledger.db")
    return beside


RESPELLINGS: dict[str, Callable[[Path], Path]] = {
    "copied": lambda folder: Path(shutil.copytree(folder, folder.with_name("copy"))),
    "moved": lambda folder: folder.rename(folder.with_name("moved")),
    "linked": _links,
}


@pytest.mark.parametrize("respelling", RESPELLINGS)
@pytest.mark.parametrize("cut", [2, ROWS - 1, ROWS])
def test_a_ledger_outside_the_home_of_its_note_is_known_by_its_rows_at_whatever_address(
    tmp_path: Path, respelling: str, cut: int
) -> None:
    ledger = _at(tmp_path / "ledger", tmp_path / "keys")
    ledger.append_all([event(number) for number in range(1, ROWS + 1)])
    where = RESPELLINGS[respelling](tmp_path / "ledger")
    assert _at(where, tmp_path / "keys").verify() == ROWS
    as_owner(where, f"delete from ledger where seq >= {cut}")
    note = next((tmp_path / "keys").glob("ledger-*.json")).read_text()
    uses: Sequence[Callable[[], object]] = (
        lambda: _at(where, tmp_path / "keys").verify(),
        lambda: _at(where, tmp_path / "keys").entries(),
        lambda: _at(where, tmp_path / "keys").entries("hand"),
        lambda: _at(where, tmp_path / "keys").append(event(9)),
        lambda: _at(where, tmp_path / "keys").entries(after=1),
    )
    for use in uses:
        with pytest.raises(IntegrityError, match=f"row {cut}: is missing"):
            use()
    assert next((tmp_path / "keys").glob("ledger-*.json")).read_text() == note


@pytest.mark.parametrize("query", ["postgresql+psycopg://u@db.local/x", "postgresql+psycopg://w@db/x?sslmode=require"])
def test_a_note_is_found_by_the_first_row_however_a_server_is_spelled(tmp_path: Path, query: str) -> None:
    pytest.importorskip("psycopg")
    walk = Walk("f" * 64, 5, "5" * 64, "seal")
    Database.at("postgresql+psycopg://u@db/x").witness(tmp_path).note(walk, "k", None)
    again = Database.at(query).witness(tmp_path)
    mine = again.check(again.notes(), "f" * 64)
    assert mine is not None
    assert (mine.seq, mine.address) == (5, "postgresql+psycopg://u@db/x")
    assert again.check(again.notes(), "e" * 64) is None  # another ledger, which this key signs too


@pytest.mark.parametrize(("seq", "row"), [(5, "6"), (4, "5"), (1, "f")])
def test_a_row_in_the_place_of_one_that_was_noted_is_not_noted(tmp_path: Path, seq: int, row: str) -> None:
    witness = Database.at("sqlite:////nowhere/ledger.db").witness(tmp_path)
    witness.note(Walk("f" * 64, 5, "5" * 64, "seal"), "k", None)
    witness.note(Walk("f" * 64, 5, "5" * 64, "seal"), "k", None)
    with pytest.raises(IntegrityError, match=f"row {seq}: was added in the place of one"):
        witness.note(Walk("f" * 64, seq, row * 64, "other"), "k", None)
    assert [note.seq for note in witness.notes()] == [5]


def test_beginning_anew_where_the_ledger_is_not_gives_up_no_ledger_elsewhere(tmp_path: Path) -> None:
    shared = _at(tmp_path / "server", tmp_path / "home" / "keys")
    shared.append_all([event(1), event(2)])
    here = Settings(home=tmp_path / "home")
    for use in (ledger_of(here).entries, ledger_of(here).begin_anew, lambda: ledger_of(here).append(event(3))):
        with pytest.raises(
            ModelyardError, match=r"2 rows were written at sqlite:.*server/ledger\.db; name that one in"
        ) as refusal:
            use()
        assert "\n" not in str(refusal.value)
    assert shared.append(event(3)).seq == 3
    assert _at(tmp_path / "server", tmp_path / "home" / "keys").verify() == 3


def test_of_two_ledgers_noted_in_one_home_the_one_that_is_given_up_ends(tmp_path: Path) -> None:
    here = a_home(tmp_path / "home")
    shared = _at(tmp_path / "server", here.home / "keys")
    shared.append(event(1))
    ledger_of(here).begin_anew()
    assert list(ledger_of(here).entries()) == []
    assert ledger_of(here).append(event(2)).seq == 1
    assert shared.append(event(2)).seq == 2


@pytest.mark.parametrize("attack", ["none", "update ledger set body = 'x'", "delete from ledger", "drop table ledger"])
@pytest.mark.parametrize("moved", [False, True])
def test_a_ledger_that_cannot_be_saved_is_given_up_even_after_its_home_was_moved(
    tmp_path: Path, attack: str, moved: bool
) -> None:
    here = a_home(tmp_path / "home")
    if moved:
        here = Settings(home=here.home.rename(tmp_path / "moved"))
    if attack != "none":
        as_owner(here.home, attack)
        refused(here)
    ledger_of(here).begin_anew()
    assert ledger_of(here).append(event(1)).seq == 1
    assert ledger_of(here).verify() == 1
