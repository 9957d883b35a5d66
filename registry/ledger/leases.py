"""Leases in the ledger's database, for several machines: a row with a holder and a time at which it expires.

The database's clock counts, not the machines'. A holder renews its lease while it works; one that was killed, or
stalled for longer than the lease lasts, loses it to whoever asks next, and `check` tells it so before it acts.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Generator
from contextlib import contextmanager
from uuid import uuid4

from sqlalchemy import text
from sqlalchemy.exc import DatabaseError

from registry.errors import BusyError, StorageError
from registry.lease import busy_error
from registry.ledger.database import Database

LEASE_S = 15.0
_POLL_S = 0.2
_ACQUIRE = text(
    "insert into modelyard_leases (name, holder, expires) values (:name, :holder, :expires) "
    "on conflict (name) do update set holder = excluded.holder, expires = excluded.expires "
    "where modelyard_leases.expires < :now or modelyard_leases.expires > :farthest"
)
_RENEW = text("update modelyard_leases set expires = :expires where name = :name and holder = :holder")
_RELEASE = text("delete from modelyard_leases where name = :name and holder = :holder")


class _Row:
    """One lease that is held."""

    def __init__(self, leases: SqlLeases, name: str) -> None:
        self.name, self.holder = name, uuid4().hex
        self._leases, self._ended = leases, threading.Event()

    def acquire(self) -> bool:
        """Try to get it."""
        return self._leases.run(_ACQUIRE, self)

    def check(self) -> None:
        """Renew it, or raise BusyError where another process has it by now."""
        if not self._leases.run(_RENEW, self):
            raise BusyError(f"lease of '{self.name}'", "was lost while this process stood still", "run the command again")

    def keep_alive(self) -> None:
        """Renew it until `release`; a database that is away for a moment is asked again."""
        while not self._ended.wait(self._leases.seconds / 3):
            try:
                if not self._leases.run(_RENEW, self):
                    return
            except StorageError:
                continue

    def release(self) -> None:
        """Give it up."""
        self._ended.set()
        self._leases.run(_RELEASE, self)


class SqlLeases:
    """Leases in a ledger's database, whose tables the first one makes."""

    def __init__(self, database: Database, seconds: float = LEASE_S) -> None:
        """`seconds`: how long a lease outlives its holder."""
        self._database, self._engine, self.seconds = database, database.engine, seconds

    @contextmanager
    def hold(self, model: str, *, wait: bool = True) -> Generator[_Row]:
        """Hold the model's lease within the block; one that another process has is waited for, or raises BusyError."""
        self._database.make()
        row = _Row(self, model)
        while not row.acquire():
            if not wait:
                raise busy_error(model)
            time.sleep(_POLL_S)
        threading.Thread(target=row.keep_alive, daemon=True, name=f"lease {model}").start()
        try:
            yield row
        finally:
            row.release()

    def run(self, statement: object, row: _Row) -> bool:
        """Whether a statement changed the lease's row."""
        try:
            return self._run(statement, row)
        except DatabaseError as error:
            raise StorageError("leases in the ledger", f"cannot be used ({error.orig})", "check the server") from error

    def _run(self, statement: object, row: _Row) -> bool:
        with self._engine.begin() as connection:
            clock = "extract(epoch from clock_timestamp())" if self._engine.dialect.name == "postgresql" else None
            now = float(connection.execute(text(f"select {clock}")).scalar_one()) if clock else time.time()
            # A lease that ends later than any can was written before the clock was set back: it would hold for that long.
            values = {"name": row.name, "holder": row.holder, "now": now, "expires": now + self.seconds}
            values["farthest"] = now + 2 * self.seconds
            wanted = {name: values[name] for name in statement.compile().params}  # type: ignore[attr-defined]
            return connection.execute(statement, wanted).rowcount == 1  # type: ignore[arg-type,call-overload]
