"""Reading the time series, which makes and changes no file: where there is none, nothing was recorded."""

from __future__ import annotations

import sqlite3
from collections.abc import Generator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import NamedTuple

from registry.errors import DamagedFileError, MissingFileError
from serving.series.interval import Interval
from serving.series.schema import COLUMNS, FORMAT, interval_of

_REMEDY = "`modelyard up` or `modelyard collect` sets it aside and begins anew"


class Recorded(NamedTuple):
    """An endpoint of which something is recorded, and from when on, in seconds since 1970."""

    endpoint: str
    since_s: float


class Point(NamedTuple):
    """What a version of an endpoint did from a moment on, in seconds since 1970, until the next step."""

    start_s: int
    version: str
    interval: Interval


class Series:
    """The series of one file. Raises MissingFileError where there is none, and DamagedFileError for one that cannot be read."""

    def __init__(self, file: Path) -> None:
        """Nothing is opened yet."""
        self._file = file

    def recorded(self) -> list[Recorded]:
        """What is recorded, by name."""
        with self._reading() as db:
            rows = db.execute("SELECT endpoint, since_ms FROM endpoints ORDER BY endpoint").fetchall()
        return [Recorded(endpoint, since_ms / 1000) for endpoint, since_ms in rows]

    def window(self, endpoint: str, since_s: int, until_s: int, step_s: int) -> list[Point]:
        """An endpoint's intervals that begin within a span of time, in order, added up to steps of so many seconds.

        A step is as long as the intervals of that age or longer, and `since_s` one of its multiples.
        """
        points = dict[tuple[int, str], Interval]()
        with self._reading() as db:
            rows = db.execute(
                f"SELECT start_s, version, {COLUMNS} FROM points WHERE endpoint = ? AND start_s >= ? AND start_s <= ?",  # noqa: S608
                (endpoint, since_s, until_s),
            )
            for start, version, *values in rows:
                key = (start // step_s * step_s, version)
                points[key] = points.get(key, Interval()) + interval_of(values)
        return [Point(start, version, points[start, version]) for start, version in sorted(points)]

    @contextmanager
    def _reading(self) -> Generator[sqlite3.Connection]:
        if not self._file.exists():
            raise MissingFileError(self._file, "is not there", "`modelyard up` or `modelyard collect` records it")
        if not self._file.is_file():  # a pipe would be waited for
            raise DamagedFileError(self._file, "is not a file", _REMEDY)
        # While nobody writes there is no log beside the file, and to read it as usual would leave an empty one there.
        still = "" if self._file.with_name(f"{self._file.name}-wal").exists() else "&immutable=1"
        address = f"{self._file.absolute().as_uri()}?mode=ro{still}"
        try:
            with closing(sqlite3.connect(address, uri=True, timeout=5)) as db:
                self._check_format(db)
                yield db
        except DamagedFileError:
            raise
        except (sqlite3.Error, ValueError, TypeError) as error:
            raise DamagedFileError(self._file, f"cannot be read ({error})", _REMEDY) from error

    def _check_format(self, db: sqlite3.Connection) -> None:
        if db.execute("PRAGMA user_version").fetchone() != (FORMAT,):
            raise DamagedFileError(self._file, "is of another release", _REMEDY)
