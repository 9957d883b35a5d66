"""Live: which endpoints answer, how fast, and how often they fail: now, and over hours and weeks."""

from __future__ import annotations

import streamlit as st

from dashboards.endpoints.history_view import show_history
from dashboards.endpoints.live import endpoint_table
from dashboards.pages import entries, page_header, settings
from dashboards.tables import PERCENT, show_table
from dashboards.words import escaped
from registry.reports.attention import failed_deployments
from registry.reports.endpoints import existing_deployments
from serving.series.polling import TROUBLE, UNREACHABLE, poll_endpoints

_FORMATS = {"errors": PERCENT, "refused": PERCENT, "p50 ms": "%.1f", "p95 ms": "%.1f", "p99 ms": "%.1f"}
_LABELS = {"errors": "Errors (5xx)", "refused": "Rejected (4xx)", "waiting": "Queued images"}

page_header("Live")
rows = entries()
deployed = existing_deployments(rows)
if not deployed:
    st.info("No endpoint is deployed. To deploy one, promote a version to a stage whose job file says `deploy`.")


@st.fragment(run_every="5s")
def board() -> None:
    """The part of the page that is refreshed every five seconds."""
    readings = poll_endpoints(deployed, settings().endpoint_headers, failed_deployments(entries()))
    for reading in readings:
        if reading.state.startswith((UNREACHABLE, TROUBLE)):
            st.error(f"{escaped(f'{reading.name} is {reading.state}')}. `modelyard reconcile` restarts it.")
    show_table(endpoint_table(readings), _FORMATS, _LABELS)
    st.caption("Refreshed every 5 s. Figures are since an endpoint's process started.")


if deployed:
    board()
if deployed or settings().metrics.exists():
    show_history(rows)
