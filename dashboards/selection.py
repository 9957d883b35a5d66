"""The Runs page's inputs: filter, order, and the rows that are selected. Their state is in the page's address."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from hashlib import blake2b
from itertools import cycle
from typing import Any

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from dashboards.charts import curves
from dashboards.runs import CURVES, FIRST, MOST_PARAMS, column_names, curve_table, label, metric_names, param_names, run_frame
from dashboards.tables import columns
from dashboards.words import message
from registry.errors import InputError, ModelyardError
from registry.runs.rows import RunRow
from registry.runs.select import filter_runs, parse_conditions, sort_runs, value_of
from registry.runs.sync import read_curves
from registry.settings import Settings

_SELECTED = "runs"
_TALLEST = 360
_MOST_CHARTS = 6
_COMPARED = 4
_MOST_ROWS = 5_000
"""Rows of the table: a browser that is sent 100,000 takes seconds, and nobody scrolls through them."""
_LABELS = {"run": "Run name", "not numbers": "Not numeric"}
_FORMATS = {
    "test_top1": "%.3f",
    "val_top1": "%.3f",
    "cost_usd": "$%.6f",
    "train_seconds": "%.0f s",
    "latency_p95_ms": "%.1f ms",
}


def show_filters(rows: Sequence[RunRow]) -> list[RunRow]:
    """The filter bar; the runs that match it, sorted as the viewer asked."""
    wide, narrow, order, toggles = st.columns([4, 2, 2, 2], vertical_alignment="bottom")
    conditions = wide.text_input(
        "Filter", key="filter", bind="query-params", placeholder="test_top1 > 0.9 and status = FINISHED"
    )
    every = toggles.toggle("All runs", key="all", bind="query-params", help="Gate and data-check runs too, not only training.")
    rows = [row for row in rows if every or row.is_training]
    experiments = sorted({row.experiment for row in rows})
    experiment = narrow.selectbox("Experiment", ["all", *experiments], key="experiment", bind="query-params")
    names = ["newest", *metric_names(rows), "name", "user", *(f"params.{name}" for name in param_names(rows)[:MOST_PARAMS])]
    by = order.selectbox("Sort by", names, key="sort", bind="query-params")
    ascending = toggles.toggle("Ascending", key="lowest", bind="query-params")
    try:
        matches = filter_runs(rows, parse_conditions(conditions))
    except InputError as error:
        st.warning(message(error))
        return []
    matches = [row for row in matches if experiment in {"all", row.experiment}]
    if by == "newest":
        return matches[::-1] if ascending else matches
    return sort_runs(matches, by, ascending=ascending)


def show_runs(every: Sequence[RunRow], link: str, metrics: Sequence[str], versions: Mapping[str, str]) -> list[RunRow]:
    """The table of runs; those that are selected in it, or the first four where none is.

    `versions` is run → the version that it ended in.
    """
    names, usual = column_names(every, metrics)
    from_address = set(st.query_params.get(_SELECTED, "").split(","))
    rows = [row for index, row in enumerate(every) if index < _MOST_ROWS or row.run_id in from_address]
    indices = [index for index, row in enumerate(rows) if row.run_id in from_address]
    chosen = st.multiselect("Columns", names, default=usual, key="columns", bind="query-params")
    table = st.dataframe(
        run_frame(rows, link, chosen, versions),
        hide_index=True,
        width="stretch",
        height=min(_TALLEST, 38 + 35 * max(len(rows), 1)),
        column_config=_run_columns(link),
        on_select="rerun",
        selection_mode="multi-row",
        selection_default={"selection": {"rows": indices, "columns": [], "cells": []}},
        key=f"table {_digest(rows)}",  # a selection is of row numbers: another table begins with what the address says
    )
    selected = [rows[index] for index in table["selection"]["rows"] if index < len(rows)]
    if selected:
        st.query_params[_SELECTED] = ",".join(row.run_id for row in selected)
    elif _SELECTED in st.query_params:
        del st.query_params[_SELECTED]
    hint = "the selected runs" if selected else f"the first {_COMPARED}; select rows to compare others"
    first = f", of which the table has the first {_MOST_ROWS:,}: filter or sort them" if len(every) > _MOST_ROWS else ""
    st.caption(f"{len(every):,} run{'' if len(every) == 1 else 's'}{first}. Compared below: {hint}.")
    return selected or list(rows[:_COMPARED])


def _run_columns(link: str) -> dict[str, Any]:
    """Metrics keep the names by which the filter knows them."""
    config = columns(["run", "version", "data set", "experiment", "started", "status", "user", "not numbers"], labels=_LABELS)
    config |= {name: st.column_config.NumberColumn(name, format=form) for name, form in _FORMATS.items()}
    return config | {"MLflow": st.column_config.LinkColumn(display_text="Open") if link else None}


def _digest(rows: Sequence[RunRow]) -> str:
    return blake2b(" ".join(row.run_id for row in rows).encode(), digest_size=8).hexdigest()


def select_name(column: DeltaGenerator, title: str, names: Sequence[str], key: str, default: str) -> str | None:
    """One name out of many, kept in the address; `default` where the viewer chose none."""
    index = list(names).index(default) if default in names else 0
    return column.selectbox(title, names, index=index, key=key, bind="query-params") if names else None


def show_curves(settings: Settings, compared: Sequence[RunRow]) -> None:
    """A chart for each metric that is chosen, two in a row, with a line for each run."""
    left, right = st.columns(2)
    names = metric_names(compared)
    default = [name for name in CURVES if name in names][:2] or names[:1]
    chosen = left.multiselect("Metrics", names, default=default, key="curve", bind="query-params", max_selections=_MOST_CHARTS)
    weight = right.slider("Smoothing", 0.0, 0.99, 0.0, key="smoothing", bind="query-params")
    try:
        for column, metric in zip(cycle(st.columns(min(len(chosen), 2) or 1)), chosen):
            points = curve_table(read_curves(settings, compared, metric, label), weight)
            column.altair_chart(curves(points, metric), width="stretch")
    except ModelyardError as error:
        st.warning(message(error))


def select_axes(rows: Sequence[RunRow]) -> list[str]:
    """The figures of the parallel axes: parameters that differ, and the usual metrics."""
    numbers = [name for name in param_names(rows) if _differs(rows, name)]
    names = [*numbers, *metric_names(rows)]
    default = [*numbers[:4], *(name for name in FIRST if name in names)][:7]
    return st.multiselect("Axes", names, default=default, key="axes", bind="query-params")


def _differs(rows: Sequence[RunRow], name: str) -> bool:
    """Whether a parameter is a number in every run that has it, and not always the same."""
    values = {value for row in rows if isinstance(value := value_of(row, f"params.{name}"), str)}
    try:
        return len({float(value) for value in values}) > 1
    except ValueError:
        return False
