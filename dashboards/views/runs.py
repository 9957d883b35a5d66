"""Runs: find them, compare them, and see which are worth their cost."""

from __future__ import annotations

from itertools import cycle

import streamlit as st

from dashboards.charts import confusion, curves, parallel, pareto_front
from dashboards.choosing import axes, chosen, one_of, picked
from dashboards.mistakes import show_mistakes
from dashboards.pages import entries, runs, settings
from dashboards.runs import (
    confusion_table,
    curve_table,
    difference_table,
    evaluations,
    front_table,
    group_names,
    group_table,
    label,
    metric_names,
    parallel_table,
    param_names,
)
from dashboards.words import escaped
from registry.errors import ModelyardError
from registry.runs.sync import read_curves

st.title("Runs")
known = runs()
if not any(row.is_training for row in known.rows):
    st.info("No training run yet. `modelyard train` makes the first one.")
    st.stop()

found = chosen(known.rows)
if not found:
    st.info("No run fulfils the filter.")
    st.stop()
metrics = metric_names(found)
compared = picked(found, known.link, metrics)

front, lines, parameters, groups, errors = st.tabs(["Quality and cost", "Curves", "Parameters", "Groups", "Confusion"])
with front:
    left, right = st.columns(2)
    cost = one_of(left, "cost", metrics, "cost", "cost_usd")
    quality = one_of(right, "quality", metrics, "quality", "test_top1")
    if cost and quality:
        st.altair_chart(pareto_front(front_table(found, cost, quality), cost, quality), width="stretch")
        st.caption("Joined by the dashed line: nothing is both cheaper and at least as good.")
with lines:
    left, right = st.columns(2)
    metric = one_of(left, "curve", metric_names(compared), "curve", "val_top1")
    weight = right.slider("smoothing", 0.0, 0.99, 0.0, key="smoothing", bind="query-params")
    if metric:
        try:
            points = curve_table(read_curves(settings(), compared, metric, label), weight)
            st.altair_chart(curves(points, metric), width="stretch")
        except ModelyardError as error:
            st.warning(escaped(str(error)))
with parameters:
    st.altair_chart(parallel(parallel_table(found[:200], axes(found[:200]))), width="stretch")
    st.caption("What differs between the runs that are compared:")
    st.dataframe(difference_table(compared), hide_index=True, width="stretch")
with groups:
    left, right = st.columns(2)
    by = one_of(left, "by", group_names(metrics, param_names(found)), "by", "experiment")
    measured = one_of(right, "figure", metrics, "figure", "test_top1")
    if by and measured:
        st.dataframe(group_table(found, by, measured), hide_index=True, width="stretch")
with errors:
    scores = evaluations(entries())
    scored = [(row, *scores[row.run_id]) for row in compared if row.run_id in scores]
    for place, (row, version, evaluation) in zip(cycle(st.columns(min(len(scored), 2) or 1)), scored[:4]):
        place.subheader(escaped(f"{version}: {label(row)}"), anchor=False)
        place.altair_chart(confusion(confusion_table(evaluation)), width="stretch")
        with place:
            show_mistakes(settings(), evaluation)
    if not scored:
        st.info("None of the runs that are compared was scored on held-out images.")
