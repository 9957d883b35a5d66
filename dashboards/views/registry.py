"""Registry: versions by stage, what is pending and its fix, every gate's figures, and the history."""

from __future__ import annotations

import streamlit as st

from dashboards.charts import timeline
from dashboards.decisions import (
    coloured,
    gate_labels,
    gate_matrix,
    in_lanes,
    moments,
    parity_table,
    policy_table,
    waiting_table,
)
from dashboards.pages import entries, page_header, runs, settings
from dashboards.queries import approval_table, gate_table, registry_table
from dashboards.tables import show_table
from dashboards.versions.lineage_view import show_lineage
from dashboards.versions.panels import show_evidence
from registry.reports.attention import needs_attention
from registry.stages import Stage

_VERSION_FORMATS = {"test top-1": "%.3f", "test mAP50-95": "%.3f", "p95 ms": "%.1f", "MB": "%.1f"}
_PARITY_FORMATS = {"agreement": "%.4f", "max difference": "%.2g", "control agreement": "%.4f"}
_PARITY_LABELS = {"agreement": "Top-1 agreement", "max difference": "Max abs. difference"}

page_header("Registry")
rows = entries()
if not rows:
    st.info("No version is registered yet. `modelyard train` registers the first one.")
    st.stop()

models = sorted({entry.event.model for entry in rows})
model = st.selectbox("Model", ["all", *models], key="model", bind="query-params")
rows = [entry for entry in rows if model in {"all", entry.event.model}]

pending = waiting_table(needs_attention(rows))
if len(pending):
    st.subheader("Pending and refused", anchor=False)
    show_table(pending)

st.subheader("Versions", anchor=False)
stage = st.segmented_control("Stage", ["all", "production", "staging", "none", "archived"], default="all", key="stage")
table = registry_table(rows)
show_table(table if stage in {"all", None} else table[table["stage"] == stage], _VERSION_FORMATS)

tabs = st.tabs(["Gates", "Lineage", "Evidence", "History", "Parity", "Approvals"])
gates, origin, evidence, history, parity, approvals = tabs
with gates:
    matrix = gate_matrix(rows)
    show_table(coloured(matrix), labels=gate_labels(matrix))
    st.caption("Each version's newest attempt at a stage. Every finding of every attempt:")
    attempts = gate_table(rows)
    failed = st.toggle("Failed only", value=False)
    show_table(attempts[~attempts["passed"].astype(bool)] if failed else attempts)
    if any(who.endswith("(self-declared)") for who in attempts["who"]):
        st.caption("A self-declared name was not verified: the MLflow server has no logins.")
with origin:
    in_production = table.loc[table["stage"] == Stage.PRODUCTION.value, "version"]
    show_lineage(settings(), rows, (known := runs()).rows, next(iter(in_production), ""))
with evidence:
    show_evidence(settings(), rows, known)
with history:
    events = moments(rows)
    st.altair_chart(timeline(in_lanes(events.head(500))), width="stretch")
    show_table(events, labels={"what": "Event"})
    if len(changes := policy_table(rows)):
        st.caption("How the policy changed: what versions are judged, exported and deployed by.")
        show_table(changes)
with parity:
    st.caption(
        "How closely each exported variant's predictions match the trained model's. "
        "Control agreement pairs predictions with the wrong images, so it has to be much lower."
    )
    show_table(parity_table(rows), _PARITY_FORMATS, _PARITY_LABELS)
with approvals:
    show_table(approval_table(rows))
