"""What every page does the same way: where its data comes from, and the message when that cannot be read."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from threading import Lock
from time import time

import streamlit as st

from dashboards.clock import in_words, zone
from dashboards.words import message
from registry.errors import ModelyardError
from registry.events import now
from registry.protocols import Entry
from registry.reports.reader import LedgerReader
from registry.runs.mirror import Progress, RunMirror
from registry.runs.rows import RunRow
from registry.runs.sync import SyncStatus, format_ago, sync_runs
from registry.settings import Settings, read_settings

_FRESH_S = 5


def settings() -> Settings:
    """This machine's settings, read again when the environment changes; `modelyard up` names the home there."""
    return _settings(tuple(sorted(os.environ.items())))


@st.cache_resource(max_entries=2, show_spinner=False)
def _settings(environment: tuple[tuple[str, str], ...]) -> Settings:  # noqa: ARG001 the cache's key
    return read_settings()


@st.cache_resource(max_entries=4, show_spinner=False)
def _reader(_: Settings, ledger: str) -> LedgerReader:  # noqa: ARG001 the cache's key
    return LedgerReader(_)


@st.cache_data(ttl=_FRESH_S, show_spinner=False)
def _row_count(ledger: str) -> int:
    """How many rows there are, read every five seconds at most."""
    return _reader(settings(), ledger).refresh()


def entries() -> Sequence[Entry]:
    """The ledger's rows, at most five seconds old; only new ones are read."""
    ledger = f"{settings().home.absolute()} {settings().ledger.get_secret_value()}"
    try:
        return _reader(settings(), ledger).head(_row_count(ledger))
    except ModelyardError as error:
        st.error(message(error))
        st.stop()


@dataclass(frozen=True)
class Runs:
    """MLflow's runs as of the last sync, and the address before a run's path."""

    rows: Sequence[RunRow]
    link: str


class _Copy:
    """A copy of a server's runs that asks the server every five seconds at most, however many viewers there are."""

    def __init__(self, copy: RunMirror) -> None:
        self.copy, self._lock, self._synced_at = copy, Lock(), 0.0
        self._status = SyncStatus(copy.state(), "", "")
        self._version, self._rows = -1, list[RunRow]()

    def sync_runs(self, progress: Progress) -> SyncStatus:
        """Bring the copy up to date; why the server did not answer, where it did not."""
        with self._lock:
            if not 0 <= time() - self._synced_at < _FRESH_S:  # a clock that was set back makes it due
                self._status, self._synced_at = sync_runs(settings(), self.copy, progress), time()
            return self._status

    def rows(self, version: int) -> Sequence[RunRow]:
        """The rows of a version of the copy, read again where it is another one."""
        with self._lock:
            if version != self._version:
                self._version, self._rows = version, self.copy.rows()
            return self._rows


@st.cache_resource(max_entries=4, show_spinner=False)
def _copy(server: str) -> _Copy:  # noqa: ARG001 the cache's key
    return _Copy(RunMirror.for_home(settings()))


def page_header(title: str) -> datetime:
    """A page's title, and as of when it is; returns that moment."""
    at = now()
    st.title(title)
    st.caption(f"As of {in_words(at, zone())}")
    return at


def runs() -> Runs:
    """The runs, up to date where the server answers; where it does not, a warning says so, and how old they are."""
    here = settings()
    copy = _copy(f"{here.home.absolute()} {RunMirror.for_home(here).server}")
    bar = st.empty()

    def progress(done: int, of: int) -> None:
        bar.progress(min(done / max(of, 1), 1.0), f"Reading runs: {done:,} of {of:,}")

    status = copy.sync_runs(progress)
    bar.empty()
    if status.missing:
        age = f" Showing the runs as of {format_ago(time() - status.synced.at)}." if status.synced.at else ""
        st.warning(f"{message(status.missing)}.{age}", icon=":material/cloud_off:")
    return Runs(copy.rows(status.synced.version), status.link)
