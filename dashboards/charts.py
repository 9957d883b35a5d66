"""The charts, as Altair objects, without Streamlit."""

from __future__ import annotations

import altair as alt
import pandas as pd

Layers = alt.LayerChart | alt.FacetChart
_TALL = 380
"""Pixels of a chart whose legend lies below it."""


def curves(points: pd.DataFrame, metric: str) -> Layers:
    """A metric by step, one line a run, what was measured behind it. `points` has run, step, value and measured."""
    base = alt.Chart(points).encode(x=alt.X("step:Q", axis=alt.Axis(tickMinStep=1)), color=_run_colour())
    tooltip = ["run:N", "step:Q", "measured:Q", "value:Q"]
    faint = base.mark_line(opacity=0.25).encode(y=alt.Y("measured:Q", title=metric))
    smoothed = base.mark_line().encode(y=alt.Y("value:Q", title=metric, scale=alt.Scale(zero=False)), tooltip=tooltip)
    return (faint + smoothed).properties(height=_TALL)


def pareto_front(points: pd.DataFrame, cost: str, quality: str) -> Layers:
    """Quality against cost, with the front joined. `points` has run, experiment, cost, quality and front."""
    place = {"x": alt.X("cost:Q", title=cost), "y": alt.Y("quality:Q", title=quality, scale=alt.Scale(zero=False))}
    dots = (
        alt.Chart(points)
        .mark_circle(size=90)
        .encode(
            **place,
            color=alt.Color("experiment:N", legend=alt.Legend(orient="bottom")),
            opacity=alt.condition("datum.front", alt.value(1.0), alt.value(0.35)),
            tooltip=["run:N", "experiment:N", "cost:Q", "quality:Q"],
        )
    )
    front = alt.Chart(points[points["front"]]).mark_line(interpolate="step-after", strokeDash=[4, 4]).encode(**place)
    return (front + dots).properties(height=_TALL)


def parallel(points: pd.DataFrame) -> alt.Chart:
    """Parallel coordinates, each axis from its lowest to its highest. `points` has run, axis, value and share."""
    return (
        alt.Chart(points)
        .mark_line(point=True)
        .encode(
            x=alt.X("axis:N", sort=None, title=None, axis=alt.Axis(labelAngle=-20)),
            y=alt.Y("share:Q", title="lowest to highest", axis=alt.Axis(labels=False, ticks=False)),
            color=_run_colour(),
            detail="run:N",
            tooltip=["run:N", "axis:N", "value:Q"],
        )
        .properties(height=_TALL)
    )


def confusion(cells: pd.DataFrame) -> Layers:
    """A confusion matrix. `cells` has truth, answer, images and share."""
    base = alt.Chart(cells).encode(x=alt.X("answer:N", sort=None), y=alt.Y("truth:N", sort=None))
    boxes = base.mark_rect().encode(
        color=alt.Color("share:Q", scale=alt.Scale(scheme="blues", domain=[0, 1]), legend=None),
        tooltip=["truth:N", "answer:N", "images:Q", alt.Tooltip("share:Q", format=".1%")],
    )
    ink = alt.condition("datum.share > 0.5", alt.value("white"), alt.value("#1f3a5f"))
    return boxes + base.transform_filter("datum.images > 0").mark_text().encode(text="images:Q", color=ink)


def timeline(events: pd.DataFrame) -> alt.Chart:
    """What happened to each model, when. `events` has when, model, version, what, who and text."""
    return (
        alt.Chart(events)
        .mark_point(filled=True, size=110)
        .encode(
            x=alt.X("when:T", title=None),
            y=alt.Y("model:N", title=None),
            color=alt.Color("what:N", legend=alt.Legend(orient="bottom", title=None)),
            shape=alt.Shape("what:N", legend=None),
            tooltip=["when:T", "version:N", "what:N", "who:N", "text:N"],
        )
    )


def class_counts(counts: pd.DataFrame) -> alt.Chart:
    """Frames of each class by split. `counts` has class, split, frames and clips."""
    return (
        alt.Chart(counts)
        .transform_calculate(place="indexof(['train', 'val', 'test'], datum.split)")
        .mark_bar()
        .encode(
            x=alt.X("frames:Q"),
            y=alt.Y("class:N", sort=None, title=None),
            color=alt.Color("split:N", sort=["train", "val", "test"], legend=alt.Legend(orient="bottom")),
            order=alt.Order("place:Q"),
            tooltip=["class:N", "split:N", "frames:Q", "clips:Q"],
        )
    )


def spread(table: pd.DataFrame, what: str) -> alt.Chart:
    """A histogram. `table` has from, to and frames."""
    bars = alt.Chart(table).mark_bar(binSpacing=1)
    return bars.encode(
        x=alt.X("from:Q", title=what).bin("binned"),
        x2="to:Q",
        y=alt.Y("frames:Q", title="frames"),
        tooltip=[alt.Tooltip("from:Q", format=".3~f"), alt.Tooltip("to:Q", format=".3~f"), "frames:Q"],
    ).properties(height=140)


def request_rates(points: pd.DataFrame) -> alt.Chart:
    """Requests a second. `points` has endpoint, when and requests."""
    colour = alt.Color("endpoint:N", legend=alt.Legend(orient="bottom"))
    return (
        alt.Chart(points)
        .mark_line()
        .encode(x=alt.X("when:T", title=None), y=alt.Y("requests:Q", title="a second"), color=colour)
    )


def burn_down(points: pd.DataFrame) -> alt.Chart:
    """What is left of each budget by day. `points` has model, day, usd and kind."""
    return (
        alt.Chart(points)
        .mark_line()
        .encode(
            x=alt.X("day:T", title=None),
            y=alt.Y("usd:Q", title="USD left"),
            color=alt.Color("model:N", legend=alt.Legend(orient="bottom")),
            strokeDash=alt.StrokeDash("kind:N", sort=["spent", "expected"], legend=alt.Legend(orient="bottom", title=None)),
            tooltip=["model:N", "day:T", "usd:Q", "kind:N"],
        )
    )


def _run_colour() -> alt.Color:
    return alt.Color("run:N", legend=alt.Legend(orient="bottom", columns=1, labelLimit=400))


def cost_by_version(costs: pd.DataFrame) -> alt.Chart:
    """Training cost of each version, by trainer."""
    return (
        alt.Chart(costs)
        .mark_bar()
        .encode(x=alt.X("usd:Q", title="USD"), y=alt.Y("version:N", sort=None, title=None), color="trainer:N")
    )


def spent_by_month(points: pd.DataFrame) -> alt.Chart:
    """What was spent in each month. `points` has month, what and usd."""
    return (
        alt.Chart(points)
        .mark_bar(size=40)
        .encode(x=alt.X("month:O", title=None), y=alt.Y("usd:Q", title="USD"), color="what:N")
    )


def break_even_curves(points: pd.DataFrame, now: float) -> Layers:
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
    here = alt.Chart(pd.DataFrame({"requests": [max(now, 1)]})).mark_rule(strokeDash=[4, 4]).encode(x="requests:Q")
    return (lines + here).properties(height=_TALL + 140)
