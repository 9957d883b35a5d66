"""Tables on pages: how each column is headed (sentence case, with its unit) and formatted, in one place."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import pandas as pd
import streamlit as st

from dashboards.clock import zone

if TYPE_CHECKING:
    from pandas.io.formats.style import Styler

_TIME = "YYYY-MM-DD HH:mm"
PERCENT = "%.1f %%"
_TIMES = frozenset({"when", "since", "started", "from", "to"})
_WIDTHS = {"text": 400, "what": 260, "finding": 400, "last": 400, "advice": 400}
_LABELS = {
    "when": "Time",
    "who": "By",
    "text": "Details",
    "what": "Problem",
    "command": "Fix",
    "last": "Last event",
    "95 % interval": "95% interval",
    "p50 ms": "p50 latency, ms",
    "p95 ms": "p95 latency, ms",
    "p99 ms": "p99 latency, ms",
    "p95 wait": "p95 latency, s",
    "MB": "Size, MB",
    "url": "URL",
    "usd": "Cost",
    "seconds": "Duration, s",
    "figure": "Value",
    "limit": "Threshold",
    "row": "Ledger row",
    "data set": "Dataset",
    "held-out": "Evaluated on",
}


def heading(name: str) -> str:
    """The head of a column."""
    return _LABELS.get(name) or f"{name[:1].upper()}{name[1:]}"


def columns(
    names: Iterable[str], formats: Mapping[str, str] | None = None, labels: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """A column's name in the table → its configuration. `formats` are those of numbers.

    A column that is given one of the `labels` is plain: a user's parameter may be called "when" too.
    """
    config = dict[str, Any]()
    for name in names:
        label = (labels or {}).get(name)
        if formats and name in formats:
            config[name] = st.column_config.NumberColumn(label or heading(name), format=formats[name])
        elif name in _TIMES and not label:
            config[name] = st.column_config.DatetimeColumn(heading(name), format=_TIME, timezone=str(zone()))
        elif name in _WIDTHS and not label:
            config[name] = st.column_config.TextColumn(heading(name), width=_WIDTHS[name])
        else:
            config[name] = st.column_config.Column(label or heading(name))
    return config


def show_table(
    table: pd.DataFrame | Styler,
    formats: Mapping[str, str] | None = None,
    labels: Mapping[str, str] | None = None,
    links: Iterable[str] = (),
) -> None:
    """A table as wide as the page. Columns in `links` hold addresses."""
    config = columns(table.columns, formats, labels) | {
        name: st.column_config.LinkColumn(display_text="Open") for name in links
    }
    st.dataframe(table, hide_index=True, width="stretch", column_config=config)
