"""The ledger's schema, step by step (Alembic)."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path

from sqlalchemy import Connection, Engine, inspect, text
from sqlalchemy.exc import DatabaseError

from registry.errors import BusyError, StorageError
from registry.lease import locked

VERSION_TABLE = "modelyard_ledger_version"
"""Its own name, because the ledger may share a database with MLflow, which has an `alembic_version`."""

HEAD = "0002"
_FIRST = "0001"
_CURRENT = text(f"select version_num from {VERSION_TABLE} where (select count(*) from ledger where seq = 1) >= 0")  # noqa: S608
_LOCK = 7_305_129_446  # any number of ours: PostgreSQL's advisory lock while migrating


def is_there(engine: Engine) -> bool:
    """Whether a ledger's table is there, of whatever release."""
    return inspect(engine).has_table("ledger")


def is_current(engine: Engine) -> bool:
    """Whether a ledger of this release is there, by one question: what is nearly always so. False may be wrong, True is not."""
    with suppress(DatabaseError), engine.connect() as connection:
        return connection.execute(_CURRENT).scalar() == HEAD
    return False


def migrate(engine: Engine) -> None:
    """Bring the schema to `HEAD`; nothing but one query where it is there already."""
    version = _version(engine)
    if version == HEAD:
        return
    if version not in {None, _FIRST}:
        raise StorageError("ledger", f"was written by a newer release (its schema is {version})", "update Modelyard")
    with _one_at_a_time(engine), engine.connect() as connection, connection.begin():
        if engine.dialect.name == "postgresql":
            connection.execute(text("select pg_advisory_xact_lock(:number)"), {"number": _LOCK})
        _upgrade(connection)


def _version(engine: Engine) -> str | None:
    if not inspect(engine).has_table(VERSION_TABLE):
        return None
    with engine.connect() as connection:
        return connection.execute(text(f"select version_num from {VERSION_TABLE}")).scalar()  # noqa: S608 a constant


def _upgrade(connection: Connection) -> None:
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    config.attributes["connection"] = connection
    inspector = inspect(connection)
    if inspector.has_table("ledger") and not inspector.has_table(VERSION_TABLE):  # made by version 0.1.0, which had no steps
        command.stamp(config, _FIRST)
    command.upgrade(config, HEAD)


@contextmanager
def _one_at_a_time(engine: Engine) -> Generator[None]:
    """SQLite: a lock beside the file, because its DDL is not one transaction. PostgreSQL locks inside the transaction."""
    if engine.dialect.name != "sqlite" or not engine.url.database:
        yield
        return
    busy = BusyError("ledger", "another process brings it up to date", "try again")
    with locked(Path(f"{engine.url.database}.lock"), busy):
        yield
