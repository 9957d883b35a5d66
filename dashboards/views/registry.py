"""Registry: versions by stage, what waits and what would mend it, every gate's figures, and how it came to be."""

from __future__ import annotations

import streamlit as st

from dashboards.charts import timeline
from dashboards.decisions import moments, parity_table, waiting, waiting_table
from dashboards.pages import entries, runs
from dashboards.queries import approval_table, evidence_table, gate_table, registry_table

_WHEN = "YYYY-MM-DD HH:mm"

st.title("Registry")
found = entries()
if not found:
    st.info("Nothing is registered yet. `modelyard train` registers the first version.")
    st.stop()

models = sorted({entry.event.model for entry in found})
model = st.selectbox("model", ["all", *models], key="model", bind="query-params")
found = [entry for entry in found if model in {"all", entry.event.model}]

pending = waiting_table(waiting(found))
if len(pending):
    st.subheader("Pending and refused", anchor=False)
    wide = {"what": st.column_config.TextColumn(width="large"), "since": st.column_config.DatetimeColumn(format=_WHEN)}
    wide["command"] = st.column_config.TextColumn("what would mend it", width="medium")
    st.dataframe(pending, hide_index=True, width="stretch", column_config=wide)

st.subheader("Versions", anchor=False)
stage = st.segmented_control("stage", ["all", "production", "staging", "none", "archived"], default="all", key="stage")
table = registry_table(found)
st.dataframe(
    table if stage in {"all", None} else table[table["stage"] == stage],
    hide_index=True,
    width="stretch",
    column_config={
        "test top-1": st.column_config.NumberColumn(format="%.3f"),
        "p95 ms": st.column_config.NumberColumn(format="%.1f"),
        "MB": st.column_config.NumberColumn(format="%.1f"),
        "last": st.column_config.TextColumn("last event", width="large"),
    },
)

gates, evidence, history, parity, approvals = st.tabs(["Gates", "Evidence", "History", "Parity", "Approvals"])
with gates:
    attempts = gate_table(found)
    refused = st.toggle("only what failed", value=False)
    shown = attempts[~attempts["passed"].astype(bool)] if refused else attempts
    columns = {"when": st.column_config.DatetimeColumn(format=_WHEN), "finding": st.column_config.TextColumn(width="large")}
    st.dataframe(shown, hide_index=True, width="stretch", column_config=columns)
    if any(who.endswith("(self-declared)") for who in attempts["who"]):
        st.caption("A self-declared name was checked by nobody: the MLflow server has no logins.")
with evidence:
    known = runs()
    links = {row.run_id: f"{known.link}{row.path}" for row in known.rows if known.link and not row.is_training}
    columns = {
        "when": st.column_config.DatetimeColumn(format=_WHEN),
        "MLflow": st.column_config.LinkColumn(display_text="open"),
    }
    st.dataframe(evidence_table(found, links), hide_index=True, width="stretch", column_config=columns)
    st.caption("A verdict names the bytes it is about. `modelyard verify` computes the digests again, now.")
with history:
    events = moments(found)
    if len(events):
        st.altair_chart(timeline(events.head(500)), width="stretch")
    columns = {"when": st.column_config.DatetimeColumn(format=_WHEN), "text": st.column_config.TextColumn(width="large")}
    st.dataframe(events, hide_index=True, width="stretch", column_config=columns)
with parity:
    st.caption(
        "How far each variant's answers are from the trained model's. Paired with wrong images the agreement has to drop."
    )
    st.dataframe(parity_table(found), hide_index=True, width="stretch")
with approvals:
    st.dataframe(approval_table(found), hide_index=True, width="stretch")
