"""Runs: find them, compare them, and see which are worth their cost."""

from __future__ import annotations

from itertools import cycle

import streamlit as st

from dashboards.charts import confusion, parallel, pareto_front
from dashboards.mistakes import show_mistakes, show_test_sets
from dashboards.pages import entries, page_header, runs, settings
from dashboards.runs import (
    confusion_table,
    difference_table,
    front_table,
    group_names,
    group_table,
    label,
    metric_names,
    parallel_table,
    param_names,
)
from dashboards.selection import select_axes, select_name, show_curves, show_filters, show_runs
from dashboards.tables import show_table
from dashboards.words import escaped
from registry.reports.accuracy import scored_runs, versions_of_runs, with_own_scores

page_header("Runs")
known = runs()
if not any(row.is_training for row in known.rows):
    st.info("No training runs yet. `modelyard train` starts the first one.")
    st.stop()

scores = scored_runs(ledger_rows := entries())
rows = show_filters(with_own_scores(known.rows, ledger_rows, scores))
if not rows:
    st.info("No runs match the filter.")
    st.stop()
compared = show_runs(rows, known.link, metrics := metric_names(rows), versions_of_runs(ledger_rows))
scored = [(row, *scores[row.run_id]) for row in compared if row.run_id in scores]
show_test_sets(settings(), [(version, evaluation) for _, version, evaluation in scored])

front, lines, parameters, groups, errors = st.tabs(["Quality and cost", "Curves", "Parameters", "Groups", "Confusion matrix"])
with front:
    left, right = st.columns(2)
    paid = any(row.metrics.get("cost_usd") for row in rows)
    cost = select_name(left, "Cost", metrics, "cost", "cost_usd" if paid else "train_seconds")
    quality = select_name(right, "Quality", metrics, "quality", "test_top1")
    if cost and quality:
        st.altair_chart(pareto_front(front_table(rows, cost, quality), cost, quality), width="stretch")
        st.caption("The dashed line is the Pareto front: no other run is both cheaper and at least as good.")
with lines:
    show_curves(settings(), compared)
with parameters:
    st.altair_chart(parallel(parallel_table(rows[:200], select_axes(rows[:200]))), width="stretch")
    every = st.toggle("Digests and paths", key="digests")
    differences = difference_table(compared, every=every)
    st.dataframe(differences, hide_index=True, column_config={"parameter": "Parameter that differs"})
with groups:
    left, right = st.columns(2)
    by = select_name(left, "Group by", group_names(metrics, param_names(rows)), "by", "experiment")
    measured = select_name(right, "Metric", metrics, "figure", "test_top1")
    if by and measured:
        show_table(group_table(rows, by, measured), labels={by: by})
with errors:
    for column, (row, version, evaluation) in zip(cycle(st.columns(min(len(scored), 2) or 1)), scored[:4]):
        column.subheader(escaped(f"{version}: {label(row)}"), anchor=False)
        column.altair_chart(confusion(confusion_table(evaluation)), width="stretch")
        with column:
            show_mistakes(settings(), evaluation)
    if not scored:
        st.info("None of the compared runs was evaluated on held-out images.")
