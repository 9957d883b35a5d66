"""Attacks on a ledger by whoever owns its database or its folder: verifying, deciding and adding all refuse, in one line.

Each attack is made on a home whose strict policy row stands in the way of somebody; what it is after is that a decision is
made without that row, and that the next honest row covers it up.
"""

from __future__ import annotations

import contextlib
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import sqlalchemy.event
from hypothesis import given, settings
from hypothesis import strategies as st

from registry.errors import IntegrityError, ModelyardError
from registry.ledger.chain import Fields
from registry.opening import ledger_of
from registry.settings import Settings
from registry.signing import open_keyring

sys.path.insert(0, str(Path(__file__).parent))
from tampered import ROWS, a_home, as_owner, event, new_home, rechained, refused

Attack = Callable[[Path], object]


def _link(file: Path, target: Path) -> None:
    file.unlink()
    file.symlink_to(target)


ATTACKS: dict[str, Attack] = {
    "a body is edited": lambda home: as_owner(home, "update ledger set body = replace(body, 'ada', 'eve') where seq = 2"),
    "a row is given to another model": lambda home: as_owner(home, "update ledger set model = 'other' where seq = 2"),
    "a time is edited": lambda home: as_owner(home, "update ledger set at = '2020-01-01T00:00:00+00:00' where seq = 2"),
    "a signature is taken off": lambda home: as_owner(home, "update ledger set signature = '', signer = '' where seq = 2"),
    "all signatures are taken off": lambda home: as_owner(home, "update ledger set signature = '', signer = ''"),
    "a signature is another row's": lambda home: as_owner(
        home, "update ledger set signature = (select o.signature from ledger o where o.seq = 1) where seq = 2"
    ),
    "the first row is removed": lambda home: as_owner(home, "delete from ledger where seq = 1"),
    "a row in the middle is removed": lambda home: as_owner(home, "delete from ledger where seq = 3"),
    "the tail is cut": lambda home: as_owner(home, f"delete from ledger where seq > {ROWS - 2}"),
    "the last row is cut": lambda home: as_owner(home, f"delete from ledger where seq = {ROWS}"),
    "all rows are removed": lambda home: as_owner(home, "delete from ledger"),
    "the table is dropped": lambda home: as_owner(home, "drop table ledger"),
    "all tables are dropped": lambda home: as_owner(home, "drop table ledger", "drop table modelyard_ledger_version"),
    "two rows change places": lambda home: as_owner(
        home,
        "update ledger set seq = -1 where seq = 2",
        "update ledger set seq = 2 where seq = 3",
        "update ledger set seq = 3 where seq = -1",
    ),
    "a row is put before the first": lambda home: as_owner(
        home,
        "insert into ledger select 0, at, kind, model, version, body, previous, 'h', signer, signature from ledger where seq = 1",
    ),
    "a row is removed and the chain mended": lambda home: (
        as_owner(home, "delete from ledger where seq = 2"),
        rechained(home, 2),
    ),
    "a row is edited and the chain mended": lambda home: (
        as_owner(home, "update ledger set body = replace(body, 'ada', 'eve') where seq = 2"),
        rechained(home, 2),
    ),
    "the file is removed": lambda home: (home / "ledger.db").unlink(),
    "the file is emptied": lambda home: (home / "ledger.db").write_bytes(b""),
    "the file is another home's": lambda home: shutil.copy(
        new_home(home.with_name("other")).home / "ledger.db", home / "ledger.db"
    ),
    "the file is a link to another ledger": lambda home: _link(
        home / "ledger.db", new_home(home.with_name("other")).home / "ledger.db"
    ),
    "the file is a link to nothing": lambda home: _link(home / "ledger.db", home.with_name("other") / "ledger.db"),
    "the key is removed": lambda home: [path.unlink() for path in (home / "keys").rglob("*.p*")],
    "the key is another": lambda home: (
        [path.unlink() for path in (home / "keys").rglob("*.p*")],
        open_keyring(home / "keys" / "signing.pem", home / "keys" / "trusted"),
    ),
}


@pytest.mark.parametrize("attack", ATTACKS)
def test_nothing_is_decided_on_a_ledger_that_was_touched_and_nothing_is_added_to_it(tmp_path: Path, attack: str) -> None:
    here = a_home(tmp_path / "home")
    ATTACKS[attack](here.home)
    refused(here)
    refused(here)  # nor after it was tried to


@pytest.mark.parametrize("attack", ATTACKS)
def test_who_has_read_the_ledger_before_is_shown_nothing_that_was_touched_since_and_covers_nothing_up(
    tmp_path: Path, attack: str
) -> None:
    here = a_home(tmp_path / "home")
    long_lived = ledger_of(here)
    before = {model: list(long_lived.entries(model)) for model in ("hand", "foot", "arm")}
    assert len(before["hand"]) + len(before["foot"]) == ROWS
    ATTACKS[attack](here.home)
    for model, rows in before.items():
        with contextlib.suppress(ModelyardError):
            assert list(long_lived.entries(model)) == rows
    with contextlib.suppress(ModelyardError):
        long_lived.append(event(7))
    refused(here)


def a_touch(data: st.DataObject, texts: st.SearchStrategy[str]) -> tuple[int, str, int | str]:
    """Some row, one of its columns, and what is to stand there."""
    seq, column = data.draw(st.integers(1, ROWS)), data.draw(st.sampled_from([*Fields._fields]))
    return seq, column, data.draw(st.integers(100, 200) if column in {"seq", "version"} else texts)


@given(st.data())
@settings(max_examples=60, derandomize=True)
def test_who_has_read_the_ledger_before_notices_what_is_touched_of_a_model(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    here = a_home(tmp_path_factory.mktemp("home"))
    long_lived = ledger_of(here)
    rows = {row.seq: row.row for row in long_lived.entries()}
    seq, column, value = a_touch(data, st.sampled_from(["", "hand", "foot", "a0"]))
    if value == getattr(rows[seq], column):
        return
    as_owner(here.home, f"update ledger set {column} = '{value}' where seq = {seq}")
    for model in {rows[seq].model, value if column == "model" else rows[seq].model}:
        with pytest.raises(IntegrityError):
            long_lived.entries(str(model))
    with contextlib.suppress(IntegrityError):
        long_lived.append(event(7))
    refused(here)


def test_rows_of_others_are_read_on_from_what_is_known_and_each_look_at_a_model_reads_only_its_own(tmp_path: Path) -> None:
    here = a_home(tmp_path)
    long_lived, read = ledger_of(here), list[str]()
    assert len(long_lived.entries("hand")) == 4
    ledger_of(here).append_all([event(7, "foot"), event(8)])
    sqlalchemy.event.listen(long_lived.database.engine, "before_cursor_execute", lambda *parts: read.append(str(parts[2:4])))
    assert [entry.seq for entry in long_lived.entries("hand")] == [1, 2, 4, 5, 8]
    assert [entry.seq for entry in long_lived.entries("foot", after=3)] == [6, 7]
    starts = [line for line in read if "seq >= " in line]
    assert [line[line.rindex("(", 0, -1) :] for line in starts] == [f"({ROWS + 1},))", f"({ROWS + 3},))"], starts


def test_a_ledger_that_another_process_has_begun_anew_is_followed(tmp_path: Path) -> None:
    here = a_home(tmp_path)
    long_lived = ledger_of(here)
    assert len(long_lived.entries("hand")) == 4
    ledger_of(here).begin_anew()
    assert list(long_lived.entries("hand")) == []
    ledger_of(here).append(event(1))
    assert [entry.seq for entry in long_lived.entries("hand")] == [1]
    long_lived.append(event(2))
    assert ledger_of(here).verify() == 2


def _linked(home: Path) -> Path:
    link = home.with_name("link")
    link.symlink_to(home)
    return link


RESPELLINGS: dict[str, Callable[[Path], Path]] = {
    "by a symbolic link": _linked,
    "with dots": lambda home: home / ".." / home.name,
    "after it was moved": lambda home: home.rename(home.with_name("moved")),
    "after it was copied": lambda home: Path(shutil.copytree(home, home.with_name("copy"))),
}


@pytest.mark.parametrize("respelling", RESPELLINGS)
@pytest.mark.parametrize("attack", ["the tail is cut", "all rows are removed", "the file is removed", "the key is removed"])
def test_no_other_spelling_of_a_home_leads_past_its_witness(tmp_path: Path, respelling: str, attack: str) -> None:
    here = a_home(tmp_path / "home")
    again = Settings(home=RESPELLINGS[respelling](here.home))
    assert ledger_of(again).verify() == ROWS
    ATTACKS[attack](again.home)
    refused(again)


@given(st.data())
@settings(max_examples=60, derandomize=True)
def test_whatever_column_of_whatever_row_is_touched_is_noticed(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    here = a_home(tmp_path_factory.mktemp("home"))
    seq, column, value = a_touch(data, st.text("abc01", max_size=4))
    as_owner(here.home, f"update ledger set {column} = '{value}' where seq = {seq}")
    refused(here)


def test_a_cut_tail_is_not_covered_up_by_the_next_honest_row(tmp_path: Path) -> None:
    here = a_home(tmp_path)
    long_lived = ledger_of(here)
    assert len(long_lived.entries()) == ROWS
    as_owner(tmp_path, f"delete from ledger where seq = {ROWS}")
    with pytest.raises(IntegrityError, match=f"row {ROWS}: is missing"):
        long_lived.append(event(7))
    with pytest.raises(IntegrityError, match=f"row {ROWS}: is missing"):
        long_lived.entries(after=2)


def test_rows_that_follow_what_was_read_are_read_alone_and_none_may_be_missing(tmp_path: Path) -> None:
    here = a_home(tmp_path)
    ledger = ledger_of(here)
    assert [entry.seq for entry in ledger.entries(after=4)] == [5, 6]
    assert list(ledger.entries(after=ROWS)) == []
    as_owner(tmp_path, "update ledger set body = replace(body, 'ada', 'eve') where seq = 6")
    with pytest.raises(IntegrityError, match="row 6"):
        ledger.entries(after=4)
