"""A copy of a home to try the clouds' doubles with: what their prices and deployments write never reaches the real one."""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from registry.errors import BusyError, InputError
from registry.lease import locked
from registry.settings import Settings

_LEFT_OUT = {"clouds", "cache", "deployments", "underway", "up.json", "outages.json"}
"""What is of processes that run now, or can be made again."""

_ELSEWHERE = ("mlflow_uri", "ledger_url", "signing_key")


@contextmanager
def copied_home(settings: Settings) -> Iterator[Path]:
    """A copy of a home, which is deleted when the block ends.

    Raises InputError where a part of the home lies elsewhere: commands that use the copy would change the real one; BusyError
    where another process has a copy of this home.
    """
    for field in _ELSEWHERE:
        if getattr(settings, field) is not None:
            why = "is set, so that no copy of the home can stand for it"
            raise InputError(f"MODELYARD_{field.upper()}", why, "unset it to try the doubles")
    folder = settings.home.absolute() / "clouds"
    busy = BusyError(settings.home, "`modelyard clouds fake` runs with it already", "use that one, or stop it first")
    copy = folder / "home"
    with locked(folder / "clouds.lock", busy, wait=False):
        shutil.rmtree(copy, ignore_errors=True)
        try:
            _copy(settings.home, copy)
            yield copy
        finally:
            shutil.rmtree(copy, ignore_errors=True)


def _copy(home: Path, into: Path) -> None:
    into.mkdir(parents=True)
    for path in home.iterdir() if home.is_dir() else ():
        if path.name in _LEFT_OUT or path.name.endswith((".lock", "-wal", "-shm", "-journal")):
            continue
        if path.suffix == ".db":
            _copy_database(path, into / path.name)
        elif path.is_dir():
            copy: Callable[[str, str], object] = _linked if path.name == "datasets" else shutil.copy2
            shutil.copytree(path, into / path.name, copy_function=copy, symlinks=True)
        else:
            shutil.copy2(path, into / path.name)


def _copy_database(path: Path, into: Path) -> None:
    """A database as it is between two transactions, whoever writes to it now."""
    with closing(sqlite3.connect(path)) as source, closing(sqlite3.connect(into)) as target:
        source.backup(target)


def _linked(source: str, target: str) -> None:
    """The pictures of a data set are many and never written again: another name is enough, where the file system has that."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)
