"""Every ledger keeps order, survives a reopening, loses no row to a race, and notices a row that was touched."""

import json
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.exc import DatabaseError
from sqlalchemy.pool import NullPool

from registry.digests import canonical, sha256_bytes
from registry.errors import BusyError, InputError, IntegrityError, StorageError
from registry.events import Archived
from registry.ledger.store import open_ledger
from registry.memory import MemoryLedger
from registry.protocols import Ledger
from registry.signing import open_keyring, public_text


def event(number: int, model: str = "hand") -> Archived:
    return Archived(model=model, version=number, created_ms=1, digest="d", actor="ada")


@pytest.fixture(params=["memory", "sqlite", "postgres"])
def ledger(request: pytest.FixtureRequest, tmp_path: Path) -> Ledger:
    if request.param == "memory":
        return MemoryLedger()
    return open_ledger(request.getfixturevalue(f"{request.param}_ledger_url"))


@pytest.fixture
def sqlite_ledger_url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'deep' / 'ledger.db'}"


@pytest.fixture
def postgres_ledger_url(postgres_url: str) -> str:
    with create_engine(postgres_url, poolclass=NullPool).begin() as connection:
        connection.execute(text("drop table if exists ledger, modelyard_leases, modelyard_ledger_version cascade"))
    return postgres_url


@pytest.fixture(params=["sqlite", "postgres"])
def url(request: pytest.FixtureRequest) -> str:
    return request.getfixturevalue(f"{request.param}_ledger_url")


def test_rows_come_back_in_order_and_by_model(ledger: Ledger) -> None:
    for number in (1, 2, 3):
        ledger.append(event(number, "foot" if number == 2 else "hand"))
    assert [entry.seq for entry in ledger.entries()] == [1, 2, 3]
    assert [entry.event.version for entry in ledger.entries("hand")] == [1, 3]
    assert ledger.entries()[0].event == event(1)
    assert ledger.verify() == 3


def test_an_empty_ledger_holds(ledger: Ledger) -> None:
    assert ledger.verify() == 0
    assert list(ledger.entries()) == []


def test_events_that_belong_together_are_added_together(ledger: Ledger) -> None:
    assert [row.seq for row in ledger.append_all([event(1), event(2, "foot")])] == [1, 2]
    assert [row.event.version for row in ledger.entries()] == [1, 2]
    assert ledger.verify() == 2


def test_of_events_that_belong_together_none_stays_where_one_fails(url: str) -> None:
    ledger = open_ledger(url)
    with pytest.raises((StorageError, OverflowError)):
        ledger.append_all([event(1), event(2**70)])  # no database's integer is that wide
    assert ledger.verify() == 0


def test_rows_survive_a_reopening(url: str) -> None:
    open_ledger(url).append(event(1))
    again = open_ledger(url)
    again.append(event(2))
    assert [entry.event.version for entry in again.entries()] == [1, 2]
    assert again.verify() == 2


def test_writers_that_race_lose_nothing_and_keep_one_chain(url: str) -> None:
    open_ledger(url)
    failed: list[BaseException] = []

    def write(start: int) -> None:
        try:
            ledger = open_ledger(url)
            for number in range(start, start + 8):
                ledger.append(event(number + 1))
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=write, args=(start,)) for start in (0, 8, 16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    ledger = open_ledger(url)
    assert sorted(entry.event.version for entry in ledger.entries()) == list(range(1, 25))
    assert ledger.verify() == 24


def as_owner(url: str, *statements: str) -> None:
    """What somebody can do who owns the database: first of all, switch the triggers off."""
    with create_engine(url, poolclass=NullPool).begin() as connection:
        if connection.dialect.name == "sqlite":
            connection.execute(text("drop trigger if exists ledger_no_update"))
            connection.execute(text("drop trigger if exists ledger_no_delete"))
        else:
            connection.execute(text("drop trigger if exists ledger_append_only on ledger"))
        for statement in statements:
            connection.execute(text(statement))


TOUCHES: dict[str, Callable[[int], str]] = {
    "edited": lambda seq: f"update ledger set body = replace(body, 'ada', 'eve') where seq = {seq}",
    "removed": lambda seq: f"delete from ledger where seq = {seq}",
    "renamed": lambda seq: f"update ledger set model = 'foot' where seq = {seq}",
}


@pytest.mark.parametrize("touch", TOUCHES)
def test_a_touched_row_is_named(url: str, touch: str) -> None:
    ledger = open_ledger(url)
    for number in (1, 2, 3, 4):
        ledger.append(event(number))
    as_owner(url, TOUCHES[touch](2))
    with pytest.raises(IntegrityError, match=r"ledger row [23]"):
        ledger.verify()


def test_a_row_cannot_be_replaced_by_another_insert(url: str) -> None:
    ledger = open_ledger(url)
    ledger.append(event(1))
    verb = "insert or replace into" if url.startswith("sqlite") else "insert into"
    end = "" if url.startswith("sqlite") else " on conflict (seq) do update set body = excluded.body"
    engine = create_engine(url, poolclass=NullPool)
    columns = "seq, at, kind, model, version, body, previous, hash"
    with pytest.raises(DatabaseError, match="append-only"), engine.begin() as connection:
        connection.execute(text(f"{verb} ledger ({columns}) values (1, 'a', 'archived', 'hand', 9, '{{}}', 'p', 'h'){end}"))
    assert ledger.verify() == 1


@pytest.mark.parametrize("touch", ["edited", "removed"])
def test_the_database_itself_refuses_to_change_a_row(url: str, touch: str) -> None:
    ledger = open_ledger(url)
    ledger.append(event(1))
    engine = create_engine(url, poolclass=NullPool)
    with pytest.raises(DatabaseError, match="append-only"), engine.begin() as connection:
        connection.execute(text(TOUCHES[touch](1)))
    assert ledger.verify() == 1


def test_rows_cut_off_at_the_end_are_noticed_by_the_witness(url: str, tmp_path: Path) -> None:
    keys = open_keyring(tmp_path / "key.pem", tmp_path / "trusted")
    ledger = open_ledger(url, keys, tmp_path / "witness")
    for number in (1, 2, 3):
        ledger.append(event(number))
    as_owner(url, "delete from ledger where seq > 1")
    with pytest.raises(IntegrityError, match="row 2: is missing, with all up to row 3"):
        ledger.verify()


def test_signatures_that_were_all_stripped_are_noticed_by_the_witness(url: str, tmp_path: Path) -> None:
    keys = open_keyring(tmp_path / "key.pem", tmp_path / "trusted")
    ledger = open_ledger(url, keys, tmp_path / "witness")
    for number in (1, 2):
        ledger.append(event(number))
    as_owner(url, "update ledger set signature = '', signer = ''")
    with pytest.raises(IntegrityError, match="row 1: it is not signed"):
        ledger.verify()


def test_a_row_that_somebody_without_the_key_adds_does_not_count(url: str, tmp_path: Path) -> None:
    keys = open_keyring(tmp_path / "key.pem", tmp_path / "trusted")
    open_ledger(url, keys).append(event(1))
    open_ledger(url).append(event(2))  # no key: not signed
    stranger = open_keyring(tmp_path / "other.pem", tmp_path / "trusted")
    open_ledger(url, stranger).append(event(3))
    ledger = open_ledger(url, keys)
    flaws = [entry.flaw for entry in ledger.entries()]
    assert flaws[0] is None
    assert flaws[1] == "it is not signed"
    assert "not trusted here" in str(flaws[2])
    with pytest.raises(IntegrityError, match="row 2: it is not signed"):
        ledger.verify()


def test_a_signature_does_not_move_to_another_row(url: str, tmp_path: Path) -> None:
    keys = open_keyring(tmp_path / "key.pem", tmp_path / "trusted")
    ledger = open_ledger(url, keys)
    ledger.append(event(1))
    ledger.append(event(2))
    as_owner(url, "update ledger set signature = (select o.signature from ledger o where o.seq = 1) where seq = 2")
    assert [entry.flaw is None for entry in ledger.entries()] == [True, False]
    with pytest.raises(IntegrityError, match="row 2: its signature by key"):
        ledger.verify()


def test_a_trusted_machines_rows_count(url: str, tmp_path: Path) -> None:
    other = open_keyring(tmp_path / "other.pem", tmp_path / "none")
    assert other.own is not None
    (tmp_path / "trusted").mkdir()
    (tmp_path / "trusted" / "other.pub").write_text(public_text(other.own.public_key()))
    open_ledger(url, other).append(event(1))
    keys = open_keyring(tmp_path / "key.pem", tmp_path / "trusted")
    assert open_ledger(url, keys).verify() == 1
    assert (tmp_path / "key.pem").stat().st_mode & 0o077 == 0


def test_a_ledger_of_version_0_1_0_is_taken_over_and_its_rows_prove_nothing(url: str, tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    with create_engine(url, poolclass=NullPool).begin() as connection:
        connection.execute(text("create table ledger (seq integer primary key, at varchar(40) not null, kind varchar(40) not null, model varchar(200) not null, version integer not null, body text not null, previous varchar(64) not null, hash varchar(64) not null unique)"))  # fmt: skip
        connection.execute(text("create index ix_ledger_model on ledger (model)"))
        row = ("1", "2026-11-22T00:00:00+00:00", "archived", "hand", 1, event(1).model_dump_json(), "0" * 64)
        body = canonical(json.loads(row[5])).decode()
        digest = sha256_bytes(canonical([1, *row[1:5], body, row[6]]))
        values = {"at": row[1], "body": body, "previous": row[6], "hash": digest}
        connection.execute(text("insert into ledger values (1, :at, 'archived', 'hand', 1, :body, :previous, :hash)"), values)
    ledger = open_ledger(url, open_keyring(tmp_path / "key.pem", tmp_path / "trusted"))
    assert ledger.entries()[0].flaw == "it is not signed"
    ledger.append(event(2))
    assert ledger.verify() == 2
    assert [entry.flaw is None for entry in ledger.entries(after=0)] == [False, True]
    assert [entry.seq for entry in ledger.entries(after=1)] == [2]


def expiry(url: str, *, now: float | None = None) -> float:
    """When the lease of 'hand' ends; `now` lets it have ended then."""
    with create_engine(url, poolclass=NullPool).begin() as connection:
        if now is not None:
            connection.execute(text("update modelyard_leases set expires = :now where name = 'hand'"), {"now": now})
        return float(connection.execute(text("select expires from modelyard_leases where name = 'hand'")).scalar_one())


def test_one_holder_at_a_time_and_a_dead_ones_lease_ends(url: str) -> None:
    """A lease in the database: waited for, refused, taken over when its holder is gone, and told to who lost it."""
    leases = open_ledger(url).leases(seconds=600)
    with leases.hold("hand") as held:
        with pytest.raises(BusyError, match="works on it now"), leases.hold("hand", wait=False):
            pass
        with leases.hold("foot", wait=False):
            pass
        held.check()
    with leases.hold("hand", wait=False) as held:
        expiry(url, now=1.0)  # it stood still: nobody renewed it
        with leases.hold("hand", wait=False):
            assert expiry(url) > 600
            with pytest.raises(BusyError, match="was lost"):
                held.check()


def test_a_lease_of_before_the_clock_was_set_back_holds_nobody_up(url: str) -> None:
    leases = open_ledger(url).leases(seconds=600)
    with leases.hold("hand"):
        expiry(url, now=time.time() + 86_400)  # its holder was killed, and then the clock was set back by a day
        with leases.hold("hand", wait=False) as held:
            held.check()


def test_a_lease_is_renewed_while_its_holder_works(url: str) -> None:
    with open_ledger(url).leases(seconds=0.6).hold("hand", wait=False) as held:
        first = expiry(url)
        while expiry(url) == first:
            time.sleep(0.05)
        held.check()


@pytest.mark.parametrize("url", ["postgres://h/db", "no url", "postgresql://u:s3cr@et:word@h/db", "mysql+nothing://h/db"])
def test_a_url_that_cannot_be_used_is_one_line_that_does_not_repeat_it(url: str) -> None:
    with pytest.raises(InputError) as caught:
        open_ledger(url)
    assert "word" not in str(caught.value)


def test_a_file_that_is_no_database_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "ledger.db").write_text("no database at all" * 100)
    with pytest.raises(StorageError, match="cannot be used"):
        open_ledger(f"sqlite:///{tmp_path / 'ledger.db'}")


def test_a_ledger_that_cannot_be_opened_is_one_line_without_its_password() -> None:
    with pytest.raises(StorageError) as caught:
        open_ledger("postgresql+psycopg://yard:secret@127.0.0.1:1/none")
    assert "secret" not in str(caught.value)
    assert "\n" not in str(caught.value)
