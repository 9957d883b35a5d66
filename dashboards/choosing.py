"""The Runs page's inputs: which runs, in which order, which of them are picked. Their state is in the page's address."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b
from typing import Any

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from dashboards.runs import FIRST, MOST_METRICS, metric_names, param_names, run_frame
from dashboards.words import escaped
from registry.errors import InputError
from registry.runs.rows import RunRow
from registry.runs.select import filter_runs, parse_conditions, sort_runs, value_of

_PICKED = "runs"
_TALLEST = 360
_MOST_PARAMS = 100
_FORMATS = {
    "test_top1": ("test top-1", "%.3f"),
    "val_top1": ("val top-1", "%.3f"),
    "cost_usd": ("cost, USD", "%.6f"),
    "train_seconds": ("training, s", "%.0f"),
    "latency_p95_ms": ("p95, ms", "%.1f"),
}


def chosen(rows: Sequence[RunRow]) -> list[RunRow]:
    """The runs that the filter leaves, in the order that was asked for."""
    wide, narrow, order, others = st.columns([4, 2, 2, 2], vertical_alignment="bottom")
    told = wide.text_input("filter", key="filter", bind="query-params", placeholder="test_top1 > 0.9 and status = FINISHED")
    every = others.toggle("all", key="all", bind="query-params", help="Those about gates and data too.")
    rows = [row for row in rows if every or row.is_training]
    experiments = sorted({row.experiment for row in rows})
    experiment = narrow.selectbox("experiment", ["all", *experiments], key="experiment", bind="query-params")
    names = ["newest", *metric_names(rows), "name", "user", *(f"params.{name}" for name in param_names(rows)[:_MOST_PARAMS])]
    by = order.selectbox("first", names, key="sort", bind="query-params")
    lowest = others.toggle("lowest", key="lowest", bind="query-params")
    try:
        found = filter_runs(rows, parse_conditions(told))
    except InputError as error:
        st.warning(escaped(str(error)))
        return []
    found = [row for row in found if experiment in {"all", row.experiment}]
    if by == "newest":
        return found[::-1] if lowest else found
    return sort_runs(found, by, ascending=lowest)


def picked(rows: Sequence[RunRow], link: str, metrics: Sequence[str]) -> list[RunRow]:
    """The table of runs; those that are ticked in it, or the first four where none is."""
    wanted = set(st.query_params.get(_PICKED, "").split(","))
    places = [place for place, row in enumerate(rows) if row.run_id in wanted]
    columns: dict[str, Any] = {
        name: st.column_config.NumberColumn(words, format=form) for name, (words, form) in _FORMATS.items()
    }
    columns["started"] = st.column_config.DatetimeColumn(format="YYYY-MM-DD HH:mm")
    columns["MLflow"] = st.column_config.LinkColumn(display_text="open") if link else None
    told = st.dataframe(
        run_frame(rows, link, metrics[:MOST_METRICS]),
        hide_index=True,
        width="stretch",
        height=min(_TALLEST, 38 + 35 * max(len(rows), 1)),
        column_config=columns,
        on_select="rerun",
        selection_mode="multi-row",
        selection_default={"selection": {"rows": places, "columns": [], "cells": []}},
        key=f"table {_digest(rows)}",  # ticks are places in a table: another one begins with what the address says
    )
    ticked = [rows[place] for place in told["selection"]["rows"] if place < len(rows)]
    if ticked:
        st.query_params[_PICKED] = ",".join(row.run_id for row in ticked)
    elif _PICKED in st.query_params:
        del st.query_params[_PICKED]
    shown = ticked or list(rows[:4])
    st.caption(f"{len(rows):,} runs. Compared below: {'those that are ticked' if ticked else 'the first four; tick others'}.")
    return shown


def _digest(rows: Sequence[RunRow]) -> str:
    return blake2b(" ".join(row.run_id for row in rows).encode(), digest_size=8).hexdigest()


def one_of(place: DeltaGenerator, title: str, names: Sequence[str], key: str, first: str) -> str | None:
    """One name out of many, kept in the address; `first` where nobody chose."""
    index = list(names).index(first) if first in names else 0
    return place.selectbox(title, names, index=index, key=key, bind="query-params") if names else None


def axes(rows: Sequence[RunRow]) -> list[str]:
    """Which figures the parallel axes show: parameters that differ, and what everybody asks for first."""
    numbers = [name for name in param_names(rows) if _differs(rows, name)]
    known = [*numbers, *metric_names(rows)]
    first = [*numbers[:4], *(name for name in FIRST if name in known)][:7]
    return st.multiselect("axes", known, default=first, key="axes", bind="query-params")


def _differs(rows: Sequence[RunRow], name: str) -> bool:
    """Whether a parameter is a number in every run that has it, and not always the same."""
    values = {value for row in rows if isinstance(value := value_of(row, f"params.{name}"), str)}
    try:
        return len({float(value) for value in values}) > 1
    except ValueError:
        return False
