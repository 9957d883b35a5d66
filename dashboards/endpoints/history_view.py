"""The history on the Live page: its range, its figures and its charts."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import streamlit as st

from dashboards.charts import score_bars, time_lines
from dashboards.endpoints.history import (
    RANGES,
    History,
    error_table,
    latency_table,
    rate_table,
    read_history,
    score_table,
    sums,
)
from dashboards.pages import settings
from dashboards.words import escaped
from registry.amounts import format_usd
from registry.errors import DamagedFileError, MissingFileError
from registry.events import Deployed, now
from registry.protocols import Entry
from registry.reports.endpoints import endpoint_named, existing_deployments
from serving.series.polling import is_on_this_machine
from serving.series.reading import Series

_MOST_ENDPOINTS = 4
_NONE = "—"


def show_history(entries: Sequence[Entry]) -> None:
    """The whole section. Reads the time series, and makes none."""
    st.subheader("History", anchor=False)
    file, deployed = settings().metrics, existing_deployments(entries)
    try:
        recorded = [recorded.endpoint for recorded in Series(file).recorded()]
    except MissingFileError:
        st.info("Nothing is recorded yet. `modelyard up` records the past of its endpoints, and so does `modelyard collect`.")
        return
    except DamagedFileError as error:
        st.warning(escaped(str(error)))
        return
    local = [endpoint_named(event) for event in deployed if is_on_this_machine(event.target, event.url)]
    names = list(dict.fromkeys([*local, *recorded, *map(endpoint_named, deployed)]))
    left, right = st.columns(2, vertical_alignment="bottom")
    chosen = left.multiselect(
        "Endpoints", names, default=names[:1], max_selections=_MOST_ENDPOINTS, key="endpoints", bind="query-params"
    )
    span = right.segmented_control(
        "Range", list(RANGES), default="24 hours", required=True, wrap=True, key="range", bind="query-params"
    )
    _show_clouds([event for event in deployed if endpoint_named(event) in chosen])
    if chosen:
        _show(file, chosen, span, entries)


def _show_clouds(deployed: Sequence[Deployed]) -> None:
    """What the ledger knows of endpoints that nobody polls."""
    for event in deployed:
        if not is_on_this_machine(event.target, event.url):
            where = f"{endpoint_named(event)} serves {event.label} at {event.target}"
            quote = f"{format_usd(event.usd_per_month)} a month, as quoted"
            st.caption(escaped(f"{where}, {quote}. It is not polled, so that it can sleep."))


@st.cache_data(ttl=15, max_entries=32, show_spinner=False)
def _history(file: Path, endpoint: str, span: str) -> History:
    return read_history(file, endpoint, RANGES[span], now())


@st.fragment(run_every="30s")
def _show(file: Path, endpoints: Sequence[str], span: str, entries: Sequence[Entry]) -> None:
    try:
        histories = [_history(file, endpoint, span) for endpoint in endpoints]
    except (MissingFileError, DamagedFileError) as error:
        st.warning(escaped(str(error)))
        return
    if not any(history.points for history in histories):
        st.info("Nothing was recorded in this range.")
        return
    _show_sums(entries, histories)
    window = (histories[0].since_s, histories[0].until_s)
    left, right = st.columns(2)
    left.altair_chart(time_lines(rate_table(histories), "Requests per second", window), width="stretch")
    right.altair_chart(time_lines(latency_table(histories), "Latency, ms", window), width="stretch")
    left, right = st.columns(2)  # a row of its own, so that a narrow page keeps their order
    left.altair_chart(time_lines(error_table(histories), "Errors, % of requests", window), width="stretch")
    right.altair_chart(score_bars(score_table(histories)), width="stretch")
    st.caption(
        "Recorded by the collector. Where nobody looked there is a gap; requests of that time are in the figures and in the "
        "first point after it, but not in the rate. Scores are of each image's best class."
    )


def _show_sums(entries: Sequence[Entry], histories: Sequence[History]) -> None:
    total = sums(entries, histories)
    requests, errors, starts, cost = st.columns(4)
    requests.metric("Requests", f"{total.requests:,}")
    errors.metric("Errors (5xx)", _NONE if total.errors is None else f"{total.errors:.2f} %")
    starts.metric("Cold starts", f"{total.starts:,}", help="Processes that were started: deployments, and restarts.")
    each = _NONE if total.usd_per_thousand is None else format_usd(total.usd_per_thousand)
    about = "The bill, or else the quote, for the time that the endpoints stood here and were recorded, by their requests."
    cost.metric("Cost per 1,000 requests", each, help=about)
