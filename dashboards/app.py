"""The dashboard's frame: `modelyard up` starts it with `streamlit run dashboards/app.py`."""

from __future__ import annotations

import streamlit as st

from dashboards.door import ask_password, is_admitted
from dashboards.words import message
from registry.errors import ModelyardError

st.set_page_config(page_title="Modelyard", page_icon=":material/precision_manufacturing:", layout="wide")
try:
    admitted = is_admitted()
except ModelyardError as error:  # settings that cannot be read may hold a password: show nothing
    st.error(message(error))
    st.stop()
page = st.navigation(
    [
        st.Page("views/overview.py", title="Overview", icon=":material/dashboard:", default=True),
        st.Page("views/runs.py", title="Runs", icon=":material/query_stats:"),
        st.Page("views/registry.py", title="Registry", icon=":material/verified:"),
        st.Page("views/costs.py", title="Costs", icon=":material/payments:"),
        st.Page("views/forecast.py", title="Forecast", icon=":material/trending_up:"),
        st.Page("views/data.py", title="Data", icon=":material/photo_library:"),
        st.Page("views/review.py", title="Review", icon=":material/rate_review:"),
        st.Page("views/live.py", title="Live", icon=":material/monitor_heart:"),
    ],
    position="sidebar" if admitted else "hidden",
)
if not admitted:
    ask_password()
    st.stop()
try:
    page.run()
except ModelyardError as error:
    st.error(message(error))
