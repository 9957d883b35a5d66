"""Runs: every training run, its curves, and quality against cost."""

from __future__ import annotations

import streamlit as st

from dashboards.charts import curves, quality_by_cost
from dashboards.pages import runs_or_reason, settings
from dashboards.queries import load_curves, run_table
from registry.errors import ModelyardError

METRICS = ("val_top1", "train_loss", "val_loss")

st.title("Runs")
found = runs_or_reason()
trained = [run for run in found if "train_seconds" in run.metrics or run.status != "FINISHED"]
if not trained:
    st.info("No training run yet. `modelyard train` makes the first one.")
    st.stop()

table = run_table(trained)
st.dataframe(
    table,
    hide_index=True,
    width="stretch",
    column_config={
        "started": st.column_config.DatetimeColumn(format="YYYY-MM-DD HH:mm"),
        "test_top1": st.column_config.NumberColumn("test top-1", format="%.3f"),
        "val_top1": st.column_config.NumberColumn("val top-1", format="%.3f"),
        "cost_usd": st.column_config.NumberColumn("cost, USD", format="%.6f"),
        "train_seconds": st.column_config.NumberColumn("training, s", format="%.0f"),
        "latency_p95_ms": st.column_config.NumberColumn("p95, ms", format="%.1f"),
        "link": st.column_config.LinkColumn("MLflow", display_text="open"),
    },
)

left, right = st.columns(2)
with left:
    metric = st.selectbox("curve", METRICS)
    labels = {f"{run.name} {run.run_id[:6]}": run for run in trained}
    picked = st.multiselect("runs", list(labels), default=list(labels)[:4])
    try:
        points = load_curves(settings(), [labels[label] for label in picked], metric)
        st.altair_chart(curves(points, metric), width="stretch")
    except ModelyardError as error:
        st.warning(str(error))
with right:
    st.subheader("Quality against cost")
    st.altair_chart(quality_by_cost(table), width="stretch")
