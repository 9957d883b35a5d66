"""What every page does the same way: where its data comes from, and what it says when there is none."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from threading import Lock
from time import time

import streamlit as st

from dashboards.queries import Ledgered
from dashboards.words import escaped
from registry.errors import ModelyardError
from registry.protocols import Entry
from registry.runs.mirror import Progress, RunMirror
from registry.runs.rows import RunRow
from registry.runs.sync import SyncStatus, format_ago, sync_runs
from registry.settings import Settings, read_settings

_FRESH_S = 5


def settings() -> Settings:
    """This machine's settings, read again where the environment is another; `modelyard up` names the home in it."""
    return _settings(tuple(sorted(os.environ.items())))


@st.cache_resource(max_entries=2, show_spinner=False)
def _settings(environment: tuple[tuple[str, str], ...]) -> Settings:  # noqa: ARG001 what tells one from another
    return read_settings()


@st.cache_resource(max_entries=4, show_spinner=False)
def _ledgered(_: Settings, place: str) -> Ledgered:  # noqa: ARG001 what tells one from another
    return Ledgered(_)


@st.cache_data(ttl=_FRESH_S, show_spinner=False)
def _looked(place: str) -> int:
    """How many rows there are, asked every five seconds at most."""
    return _ledgered(settings(), place).refresh()


def entries() -> Sequence[Entry]:
    """The ledger's rows, at most five seconds old; only new ones are read."""
    place = f"{settings().home.absolute()} {settings().ledger.get_secret_value()}"
    try:
        return _ledgered(settings(), place).first(_looked(place))
    except ModelyardError as error:
        st.error(escaped(str(error)))
        st.stop()


@dataclass(frozen=True)
class Runs:
    """MLflow's runs, as they were last heard of, and where their pages are."""

    rows: Sequence[RunRow]
    link: str


class _Copy:
    """A copy of a server's runs that asks the server every five seconds at most, whoever looks."""

    def __init__(self, copy: RunMirror) -> None:
        self.copy, self._lock, self._asked = copy, Lock(), 0.0
        self._heard = SyncStatus(copy.state(), "", "")
        self._version, self._rows = -1, list[RunRow]()

    def sync_runs(self, progress: Progress) -> SyncStatus:
        """Where it stands, and why the server does not answer where it does not."""
        with self._lock:
            if not 0 <= time() - self._asked < _FRESH_S:
                self._heard, self._asked = sync_runs(settings(), self.copy, progress), time()
            return self._heard

    def rows(self, version: int) -> Sequence[RunRow]:
        """The rows, read again where there are others."""
        with self._lock:
            if version != self._version:
                self._version, self._rows = version, self.copy.rows()
            return self._rows


@st.cache_resource(max_entries=4, show_spinner=False)
def _copy(place: str) -> _Copy:  # noqa: ARG001 what tells one from another
    return _Copy(RunMirror.for_home(settings()))


def runs() -> Runs:
    """The runs, up to date where the server answers. Where it does not, a line says so, and how old they are."""
    here = settings()
    copy = _copy(f"{here.home.absolute()} {RunMirror.for_home(here).server}")
    told = st.empty()

    def progress(done: int, of: int) -> None:
        told.progress(min(done / max(of, 1), 1.0), f"reading runs: {done:,} of {of:,}")

    heard = copy.sync_runs(progress)
    told.empty()
    if heard.missing:
        old = f" These are the runs of {format_ago(time() - heard.synced.at)}." if heard.synced.at else ""
        st.warning(f"{escaped(heard.missing)}.{old}", icon=":material/cloud_off:")
    return Runs(copy.rows(heard.synced.version), heard.link)
