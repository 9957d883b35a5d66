"""The dashboard's frame: `modelyard up` starts it with `streamlit run dashboards/app.py`."""

from __future__ import annotations

import streamlit as st

st.set_page_config(page_title="Modelyard", page_icon=":material/precision_manufacturing:", layout="wide")
st.navigation(
    [
        st.Page("views/registry.py", title="Registry", icon=":material/verified:", default=True),
        st.Page("views/runs.py", title="Runs", icon=":material/query_stats:"),
        st.Page("views/costs.py", title="Costs", icon=":material/payments:"),
        st.Page("views/forecast.py", title="Forecast", icon=":material/trending_up:"),
    ]
).run()
