"""Every ledger keeps order, survives a reopening, loses no row to a race, and notices a row that was touched."""

import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.pool import NullPool

from registry.errors import InputError, IntegrityError, StorageError
from registry.events import Archived
from registry.ledger.store import open_ledger
from registry.memory import MemoryLedger
from registry.protocols import Ledger


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
        connection.execute(text("drop table if exists ledger"))
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
    with create_engine(url, poolclass=NullPool).begin() as connection:
        connection.execute(text(TOUCHES[touch](2)))
    with pytest.raises(IntegrityError, match=r"ledger row [23]"):
        ledger.verify()


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
