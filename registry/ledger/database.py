"""The database of a ledger: opened by its address, made by the first row and by nobody who only reads."""

from __future__ import annotations

import os
from collections.abc import Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from sqlalchemy import Engine, create_engine, event, text
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import ArgumentError, DatabaseError
from sqlalchemy.exc import IntegrityError as DuplicateError
from sqlalchemy.pool import ConnectionPoolEntry, NullPool

from registry.digests import sha256_bytes
from registry.errors import DamagedFileError, InputError, ModelyardError, StorageError, missing_extra
from registry.files import set_aside
from registry.ledger.migrations import is_current, is_there, migrate
from registry.ledger.witness import RESTORE, Witness


@dataclass
class Database:
    """An engine, and whether its tables are there."""

    engine: Engine

    @classmethod
    def at(cls, url: str) -> Database:
        """The database of a SQLAlchemy URL; nothing is opened yet."""
        try:
            engine = create_engine(url, poolclass=NullPool)  # a ledger is asked rarely and from many processes
        except ModuleNotFoundError as error:  # PostgreSQL's driver
            raise missing_extra(error.name or "psycopg", "ledger URL") from error
        except (ArgumentError, ImportError, ValueError):
            raise InputError("ledger URL", "cannot be used", "write sqlite:///FILE or postgresql+psycopg://…") from None
        if engine.dialect.name not in {"sqlite", "postgresql"}:
            raise InputError("ledger URL", "cannot be used", "write sqlite:///FILE or postgresql+psycopg://…")
        if engine.dialect.name == "sqlite":
            event.listen(engine, "connect", _durable)
        return cls(engine)

    @property
    def file(self) -> Path | None:
        """SQLite's file."""
        name = self.engine.url.database
        return Path(name) if self.engine.dialect.name == "sqlite" and name else None

    def exists(self) -> bool:
        """Whether there is something to read. A database that an older release made is brought up to date."""
        if self.file and not self._holds_something(self.file):
            return False
        if is_current(self.engine):
            return True
        with usable(self.engine):
            if not is_there(self.engine):
                return False
        self.make()
        return True

    def _holds_something(self, file: Path) -> bool:
        """Whether SQLite's file is there, and not empty. Raises DamagedFileError for what is no file."""
        if not file.exists():
            return False
        if not file.is_file():  # a pipe would be waited for
            raise DamagedFileError(file, "is not a file", RESTORE)
        return file.stat().st_size > 0

    def make(self) -> None:
        """Make the tables, or bring them up to date."""
        if self.file:
            self._holds_something(self.file)
            self.file.parent.mkdir(parents=True, exist_ok=True)
        with usable(self.engine):
            migrate(self.engine)

    def give_up(self) -> list[Path]:
        """Keep SQLite's files under other names. Any other database is left to whoever looks after it."""
        if self.file is None:
            if self.exists():
                raise InputError("ledger", "is in a shared database", "name another one in MODELYARD_LEDGER_URL")
            return []
        paths = [self.file.with_name(f"{self.file.name}{suffix}") for suffix in ("", "-wal", "-shm")]
        return [set_aside(path, "ended") for path in paths if path.exists()]

    def first_hash(self) -> str:
        """The hash of the first row, "" where there is none, or nothing that can be read."""
        with suppress(ModelyardError, DuplicateError):
            if self.exists():
                with usable(self.engine), self.engine.connect() as connection:
                    return str(connection.execute(text("select hash from ledger order by seq limit 1")).scalar() or "")
        return ""

    @cached_property
    def address(self) -> str:
        """Where it is, without a password: the same however a path is spelled."""
        url = self.engine.url.set(password=None)
        return (url.set(database=str(_real(self.file))) if self.file else url).render_as_string()

    def witness(self, folder: Path) -> Witness:
        """What is noted about this database in a folder."""
        places = {_real(self.file).parent, _real(self.file.parent)} if self.file else set[Path]()  # a link leads past nothing
        own = _real(folder).parent in places
        kin = _digest(f"beside the keys: {self.file.name}") if own and self.file else ""
        spelled = self.engine.url.set(password=None).render_as_string()
        return Witness(folder, self.address, _digest(self.address), (_digest(spelled), _digest(self.address)), kin)


def _real(path: Path) -> Path:
    """A path without links and dots; a circle of links, on which `Path.resolve` raises, as it is."""
    return Path(os.path.realpath(path))


def _digest(address: str) -> str:
    return sha256_bytes(address.encode())[:12]


def _durable(connection: DBAPIConnection, _: ConnectionPoolEntry) -> None:
    """SQLite: readers beside a writer, and every commit on disk."""
    cursor = connection.cursor()
    for pragma in ("busy_timeout=10000", "journal_mode=WAL", "synchronous=FULL"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


@contextmanager
def usable(engine: Engine) -> Generator[None]:
    """What a full disk, a lost server, or a file that is not a database is called here. A lost race is not an error."""
    try:
        yield
    except DuplicateError:
        raise
    except DatabaseError as error:
        address = engine.url.render_as_string(hide_password=True)
        raise StorageError(address, f"the ledger cannot be used ({error.orig})", "check the file and the server") from error
