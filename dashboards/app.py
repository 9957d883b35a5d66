"""The dashboard's frame: `modelyard up` starts it with `streamlit run dashboards/app.py`."""

from __future__ import annotations

import streamlit as st

from dashboards.door import ask, open_to_viewer
from dashboards.words import escaped
from registry.errors import ModelyardError

st.set_page_config(page_title="Modelyard", page_icon=":material/precision_manufacturing:", layout="wide")
try:
    known = open_to_viewer()
except ModelyardError as error:  # a setting that cannot be used: nothing is shown by guess
    st.error(escaped(str(error)))
    st.stop()
page = st.navigation(
    [
        st.Page("views/overview.py", title="Overview", icon=":material/dashboard:", default=True),
        st.Page("views/runs.py", title="Runs", icon=":material/query_stats:"),
        st.Page("views/registry.py", title="Registry", icon=":material/verified:"),
        st.Page("views/costs.py", title="Costs", icon=":material/payments:"),
        st.Page("views/forecast.py", title="Forecast", icon=":material/trending_up:"),
        st.Page("views/data.py", title="Data", icon=":material/photo_library:"),
        st.Page("views/live.py", title="Live", icon=":material/monitor_heart:"),
    ],
    position="sidebar" if known else "hidden",
)
if not known:
    ask()
    st.stop()
try:
    page.run()
except ModelyardError as error:
    st.error(escaped(str(error)))
