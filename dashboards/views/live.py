"""Live: which endpoints answer, how fast, and how often they fail."""

from __future__ import annotations

import streamlit as st

from dashboards.charts import request_rates
from dashboards.live import TROUBLE, ask_all, endpoint_table, standing_endpoints, troubles
from dashboards.pages import entries, settings
from dashboards.rates import Rates
from dashboards.words import escaped

st.title("Live")
deployed = standing_endpoints(entries())
if not deployed:
    st.info("No endpoint is deployed. Promoting a version to a stage that has `deploy` in its job deploys it.")
    st.stop()


@st.cache_resource(show_spinner=False)
def rates() -> Rates:
    """What was seen since this dashboard started."""
    return Rates()


@st.fragment(run_every="5s")
def board() -> None:
    """The part of the page that is asked again every five seconds."""
    found = ask_all(deployed, settings().endpoint_headers, troubles(entries()))
    rates().add(found)
    broken = [one for one in found if one.state.startswith(("does not answer", TROUBLE))]
    for one in broken:
        st.error(escaped(f"{one.name} {one.state}: `modelyard reconcile` starts it again"))
    share = st.column_config.NumberColumn(format="%.1f %%")
    span = st.column_config.NumberColumn(format="%.1f")
    columns = {"errors": share, "refused": share, "p50 ms": span, "p95 ms": span}
    st.dataframe(endpoint_table(found), hide_index=True, width="stretch", column_config=columns)
    points = rates().table()
    if len(points):
        st.altair_chart(request_rates(points), width="stretch")
    st.caption("Figures are since an endpoint's process started; the curve is since somebody opened this page.")


board()
