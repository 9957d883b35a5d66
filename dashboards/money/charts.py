"""The charts of the Forecast and of months, as Altair objects, without Streamlit."""

from __future__ import annotations

import altair as alt
import pandas as pd

from dashboards.charts import PALETTE, SMALL

Layers = alt.LayerChart | alt.FacetChart
_BAR = 16
_BELOW = alt.Legend(orient="bottom", title=None)


def money_trend(points: pd.DataFrame) -> Layers:
    """What each month cost, with what this one is expected to, and its budget. `points` is of `trends.money_trend`."""
    kinds = alt.Scale(domain=["spent", "expected"], range=[PALETTE[0], PALETTE[4]])
    bars = (
        alt.Chart(points)
        .mark_bar(size=30)
        .encode(
            x=alt.X("month:O", title=None, axis=alt.Axis(labelAngle=0)),
            y=alt.Y("usd:Q", title="USD per month"),
            color=alt.Color("what:N", scale=kinds, legend=_BELOW),
            order=alt.Order("what:N", sort="descending"),
            tooltip=[alt.Tooltip("month:O"), alt.Tooltip("what:N"), alt.Tooltip("usd:Q", format=".4f")],
        )
    )
    limit = points[points["budget"].notna()].head(1)
    rule = alt.Chart(limit).mark_rule(color=PALETTE[5], strokeDash=[4, 4]).encode(y="budget:Q")
    name = alt.Chart(limit).mark_text(align="left", dy=-8, x=4, color=PALETTE[5]).encode(y="budget:Q", text=alt.value("Budget"))
    return (bars + rule + name).properties(height=SMALL)


def spent_on(points: pd.DataFrame, by: str) -> alt.Chart:
    """Where the money went, the dearest first. `points` has key, what and usd."""
    return (
        alt.Chart(points)
        .mark_bar(size=_BAR)
        .encode(
            y=alt.Y("key:N", sort="-x", title=by.capitalize(), axis=alt.Axis(labelLimit=220)),
            x=alt.X("usd:Q", title="Cost, USD"),
            color=alt.Color("what:N", scale=alt.Scale(range=list(PALETTE)), legend=_BELOW),
            tooltip=[alt.Tooltip("key:N", title=by.capitalize()), alt.Tooltip("what:N"), alt.Tooltip("usd:Q", format=".4f")],
        )
    )


def hosting_bars(points: pd.DataFrame) -> alt.Chart:
    """A month in each place at a traffic, and at twice that; what the job deploys is filled. `points` is of `bars_table`."""
    traffics = alt.Scale(domain=["this traffic", "twice the traffic"], range=[PALETTE[0], PALETTE[4]])
    return (
        alt.Chart(points)
        .mark_bar(size=_BAR / 2)
        .encode(
            y=alt.Y("what:N", sort=alt.EncodingSortField("usd", "min"), title=None, axis=alt.Axis(labelLimit=260)),
            yOffset=alt.YOffset("traffic:N", sort=["this traffic", "twice the traffic"]),
            x=alt.X("usd:Q", title="USD per month"),
            color=alt.Color("traffic:N", scale=traffics, legend=_BELOW),
            opacity=alt.condition("datum.yours", alt.value(1.0), alt.value(0.6)),
            tooltip=[alt.Tooltip("what:N"), alt.Tooltip("traffic:N"), alt.Tooltip("usd:Q", format=".2f")],
        )
    )
