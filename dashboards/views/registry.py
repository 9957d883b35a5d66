"""Registry: what is in production, why, and what was refused."""

from __future__ import annotations

import streamlit as st

from dashboards.pages import entries
from dashboards.queries import gate_table, registry_table, stages
from registry.events import named

st.title("Registry")
found = entries()
if not found:
    st.info("Nothing is registered yet. `modelyard train` registers the first version.")
    st.stop()

table = registry_table(found)
held = stages(found)
production = {model: event for (model, stage), event in held.items() if stage == "production"}
if not production:
    st.info("No model is in production.")
for model, event in production.items():
    row = table[table["version"] == event.label].iloc[0]
    name, score, latency, place = st.columns([2, 2, 1, 3])
    who = named(event.actor, proven=event.proven)
    name.metric(model, f"version {event.version}", f"promoted by {who}", delta_color="off", delta_arrow="off")
    score.metric(
        "right on held-out images", f"{row['test top-1']:.1%}", row["95 % interval"], delta_color="off", delta_arrow="off"
    )
    latency.metric("p95", f"{row['p95 ms']:.1f} ms")
    place.metric("endpoint", "deployed" if isinstance(row["endpoint"], str) else "none")
    if isinstance(row["endpoint"], str):
        place.code(f"{row['endpoint']}/predict", language=None)

st.subheader("Versions")
st.dataframe(
    table,
    hide_index=True,
    width="stretch",
    column_config={
        "test top-1": st.column_config.NumberColumn(format="%.3f"),
        "p95 ms": st.column_config.NumberColumn(format="%.1f"),
        "MB": st.column_config.NumberColumn(format="%.1f"),
        "last": st.column_config.TextColumn("last event", width="large"),
    },
)

st.subheader("Gates")
attempts = gate_table(found)
refused = st.toggle("only what failed", value=False)
shown = attempts[~attempts["passed"].astype(bool)] if refused else attempts
st.dataframe(
    shown,
    hide_index=True,
    width="stretch",
    column_config={
        "when": st.column_config.DatetimeColumn(format="YYYY-MM-DD HH:mm:ss"),
        "finding": st.column_config.TextColumn(width="large"),
    },
)
if any(who.endswith("(self-declared)") for who in attempts["who"]):
    st.caption("A self-declared name was checked by nobody: the MLflow server has no logins.")
