"""What every page does the same way: where its data comes from, and what it says when there is none."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime

import streamlit as st

from dashboards.queries import load_entries, load_runs
from registry.errors import ModelyardError
from registry.mlflow.runs import RunRow
from registry.protocols import Entry
from registry.settings import Settings, read_settings


def settings() -> Settings:
    """This machine's settings; `modelyard up` names the home in the environment."""
    return read_settings()


@st.cache_data(ttl=5, show_spinner=False)
def entries() -> Sequence[Entry]:
    """The ledger's rows, at most five seconds old."""
    return load_entries(settings())


@st.cache_data(ttl=5, show_spinner="reading runs")
def runs() -> list[RunRow]:
    """MLflow's runs, at most five seconds old."""
    return load_runs(settings())


def today() -> date:
    """In UTC, as prices are dated."""
    return datetime.now(UTC).date()


def runs_or_reason() -> list[RunRow]:
    """The runs, or none and a line that says why."""
    try:
        return runs()
    except ModelyardError as error:
        st.warning(str(error), icon=":material/cloud_off:")
        return []
