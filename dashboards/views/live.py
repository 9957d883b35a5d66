"""Live: which endpoints answer, how fast, and how often they fail."""

from __future__ import annotations

import streamlit as st

from dashboards.charts import request_rates
from dashboards.live import TROUBLE, UNREACHABLE, endpoint_table, poll_endpoints
from dashboards.pages import entries, page_header, settings
from dashboards.rates import Rates
from dashboards.tables import PERCENT, show_table
from dashboards.words import escaped
from registry.reports.attention import failed_deployments
from registry.reports.endpoints import existing_deployments

_FORMATS = {"errors": PERCENT, "refused": PERCENT, "p50 ms": "%.1f", "p95 ms": "%.1f"}
_LABELS = {"errors": "Errors (5xx)", "refused": "Rejected (4xx)", "waiting": "Queued images"}

page_header("Live")
deployed = existing_deployments(entries())
if not deployed:
    st.info("No endpoint is deployed. To deploy one, promote a version to a stage whose job file says `deploy`.")
    st.stop()


@st.cache_resource(show_spinner=False)
def rates() -> Rates:
    """Request rates since this dashboard started."""
    return Rates()


@st.fragment(run_every="5s")
def board() -> None:
    """The part of the page that is refreshed every five seconds."""
    readings = poll_endpoints(deployed, settings().endpoint_headers, failed_deployments(entries()))
    rates().add(readings)
    for reading in readings:
        if reading.state.startswith((UNREACHABLE, TROUBLE)):
            st.error(f"{escaped(f'{reading.name} is {reading.state}')}. `modelyard reconcile` restarts it.")
    show_table(endpoint_table(readings), _FORMATS, _LABELS)
    points = rates().table()
    if len(points):
        st.altair_chart(request_rates(points), width="stretch")
    st.caption("Refreshed every 5 s. Figures are since an endpoint's process started; the chart is since this page was opened.")


board()
