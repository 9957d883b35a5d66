"""The charts, as Altair objects, without Streamlit."""

from __future__ import annotations

import altair as alt
import pandas as pd


def curves(points: pd.DataFrame, metric: str) -> alt.Chart:
    """A metric by epoch, one line a run. `points` has run, epoch and value."""
    return (
        alt.Chart(points)
        .mark_line(point=True)
        .encode(x=alt.X("epoch:Q", axis=alt.Axis(tickMinStep=1)), y=alt.Y("value:Q", title=metric), color="run:N")
    )


def quality_by_cost(runs: pd.DataFrame) -> alt.Chart:
    """Test top-1 against what training cost, one point a run."""
    known = runs.dropna(subset=["test_top1", "cost_usd"])
    return (
        alt.Chart(known)
        .mark_circle(size=140)
        .encode(
            x=alt.X("cost_usd:Q", title="training cost, USD"),
            y=alt.Y("test_top1:Q", title="test top-1", scale=alt.Scale(zero=False)),
            color=alt.Color("name:N"),
            tooltip=["name:N", "experiment:N", "test_top1:Q", "cost_usd:Q", "train_seconds:Q"],
        )
    )


def cost_by_version(costs: pd.DataFrame) -> alt.Chart:
    """Training cost of each version, by trainer."""
    return (
        alt.Chart(costs)
        .mark_bar()
        .encode(x=alt.X("usd:Q", title="USD"), y=alt.Y("version:N", sort=None, title=None), color="trainer:N")
    )


def spent_by_month(points: pd.DataFrame) -> alt.Chart:
    """What was spent in each month. `points` has month, what and usd."""
    return alt.Chart(points).mark_bar().encode(x=alt.X("month:O", title=None), y=alt.Y("usd:Q", title="USD"), color="what:N")


def break_even_curves(points: pd.DataFrame, now: float) -> alt.LayerChart | alt.FacetChart:
    """A month's cost by requests a day, one line a place, with the traffic of now. `points` has requests, place and usd."""
    lines = (
        alt.Chart(points)
        .mark_line(point=True)
        .encode(
            x=alt.X("requests:Q", title="requests a day", scale=alt.Scale(type="log")),
            y=alt.Y("usd:Q", title="USD a month", scale=alt.Scale(type="log")),
            color=alt.Color("place:N", legend=alt.Legend(orient="bottom", columns=1, labelLimit=400)),
            tooltip=["place:N", "requests:Q", "usd:Q"],
        )
    )
    return lines + alt.Chart(pd.DataFrame({"requests": [max(now, 1)]})).mark_rule(strokeDash=[4, 4]).encode(x="requests:Q")
