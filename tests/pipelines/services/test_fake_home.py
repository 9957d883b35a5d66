"""The clouds' doubles are tried with a copy of the home: whatever is written there, the real one stays as it is."""

from __future__ import annotations

import hashlib
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from pydantic import SecretStr

from pipelines.services.fake_home import copied_home
from registry.errors import BusyError, InputError
from registry.settings import Settings


def every_byte(folder: Path) -> dict[str, str]:
    files = [path for path in sorted(folder.rglob("*")) if path.is_file() and "clouds" not in path.parts]
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    home = tmp_path / "home"
    for name in ("datasets/hand/one.jpg", "artifacts/1/model.onnx", "bundles/x/bundle.json", "keys/signing.pem"):
        (home / name).parent.mkdir(parents=True, exist_ok=True)
        (home / name).write_text(name)
    for name in ("cache/big", "deployments/hand.json", "up.json", "prices.json"):
        (home / name).parent.mkdir(exist_ok=True)
        (home / name).write_text("{}")
    with closing(sqlite3.connect(home / "ledger.db")) as ledger, ledger:
        ledger.execute("create table rows (event text)")
        ledger.execute("insert into rows values ('promoted')")
    (home / "keys/signing.pem").chmod(0o600)
    return Settings(home=home)


def test_what_is_written_to_the_copy_stays_out_of_the_home_and_goes_with_it(settings: Settings) -> None:
    before = every_byte(settings.home)
    with copied_home(settings) as copy:
        assert (copy / "keys/signing.pem").stat().st_mode & 0o777 == 0o600
        assert sorted(path.name for path in copy.iterdir()) == [
            "artifacts", "bundles", "datasets", "keys", "ledger.db", "prices.json",
        ]  # fmt: skip
        with closing(sqlite3.connect(copy / "ledger.db")) as ledger, ledger:
            assert ledger.execute("select * from rows").fetchall() == [("promoted",)]
            ledger.execute("insert into rows values ('deployed')")
        (copy / "prices.json").write_text("the double's")
        (copy / "artifacts/1/model.onnx").write_text("overwritten in place")
        (copy / "bundles/x/bundle.json").write_text("overwritten in place")
        (copy / "datasets/hand/one.jpg").unlink()
    assert every_byte(settings.home) == before
    assert not copy.exists()


def test_a_copy_that_was_left_by_a_crash_is_made_anew(settings: Settings) -> None:
    left = settings.home / "clouds/home/old"
    left.mkdir(parents=True)
    with copied_home(settings):
        assert not left.exists()


def test_a_second_copy_of_a_home_is_refused_and_the_first_one_stays(settings: Settings) -> None:
    with copied_home(settings) as copy:
        busy = pytest.raises(BusyError, match="`modelyard clouds fake` runs with it already; use that one, or stop it first")
        with busy, copied_home(settings):
            pass
        assert (copy / "ledger.db").is_file()
    with copied_home(settings) as again:
        assert again == copy


def test_a_transaction_that_is_under_way_is_in_no_copy(settings: Settings) -> None:
    with closing(sqlite3.connect(settings.home / "ledger.db")) as ledger:
        ledger.execute("pragma journal_mode=wal")
        ledger.execute("insert into rows values ('half')")
        with copied_home(settings) as copy, closing(sqlite3.connect(copy / "ledger.db")) as copied:
            assert copied.execute("select * from rows").fetchall() == [("promoted",)]
        ledger.rollback()


@pytest.mark.parametrize(
    "elsewhere",
    [{"mlflow_uri": "http://x"}, {"ledger_url": SecretStr("postgresql://x")}, {"signing_key": Path("/keys/signing.pem")}],
)
def test_a_home_that_lies_elsewhere_in_part_is_no_home_to_try_with(settings: Settings, elsewhere: dict[str, object]) -> None:
    with pytest.raises(InputError, match="unset it to try the doubles"), copied_home(settings.model_copy(update=elsewhere)):
        pass
    assert not (settings.home / "clouds").exists()
