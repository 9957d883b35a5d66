"""The charts, as Altair objects, without Streamlit."""

from __future__ import annotations

from datetime import UTC, datetime

import altair as alt
import pandas as pd

Layers = alt.LayerChart | alt.FacetChart
_TALL = 380
"""Pixels of a chart whose legend lies below it."""
SMALL = 180
"""Pixels of a chart that stands beside a sentence."""
_LOW = 260
"""Pixels of a chart of which several are on a page."""
_MOST_IN_LEGEND = 8
_MOST_NAMED = 3
"""Lines of a low chart that are named at their ends, too."""
PALETTE = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#8c6bb1", "#7f7f7f")
"""Okabe and Ito's colours, which colour-blind readers tell apart, without black and yellow: each is lost on one theme."""
_INK = "#7f7f7f"
"""Text within a chart: Vega's own is black on either theme."""
_SQUARE = 520
"""Pixels of a confusion matrix's height: about its width, two in a row on a wide screen."""
_MOST_NUMBERED = 25
"""Classes of a confusion matrix whose cells have room for a number."""


def curves(points: pd.DataFrame, metric: str) -> Layers:
    """A metric by step, one line a run, raw values faint behind it. `points` has run, step, value (smoothed) and measured."""
    base = alt.Chart(points).encode(x=alt.X("step:Q", title="Step", axis=alt.Axis(tickMinStep=1)), color=_run_colour(points))
    tips = [_tip("run:N"), _tip("step:Q"), _tip("measured:Q", "Value"), _tip("value:Q", "Smoothed")]
    raw = base.mark_line(opacity=0.25).encode(y=alt.Y("measured:Q", title=metric))
    smoothed = base.mark_line().encode(y=alt.Y("value:Q", title=metric, scale=alt.Scale(zero=False)), tooltip=tips)
    ends = points.sort_values("step").groupby("run").tail(1)
    names = alt.Chart(ends if len(ends) <= _MOST_IN_LEGEND else ends.head(0)).mark_text(align="right", dy=-9)
    named = names.encode(x="step:Q", y="value:Q", text="run:N", color=_run_colour(points))
    return (raw + smoothed + named).properties(height=_TALL)


def pareto_front(points: pd.DataFrame, cost: str, quality: str) -> Layers:
    """Quality against cost, with the front joined. `points` has run, experiment, cost, quality and front."""
    axes = {"x": alt.X("cost:Q", title=cost), "y": alt.Y("quality:Q", title=quality, scale=alt.Scale(zero=False))}
    dots = (
        alt.Chart(points)
        .mark_circle(size=90)
        .encode(
            **axes,
            color=alt.Color("experiment:N", scale=_colours(), legend=_legend("Experiment")),
            opacity=alt.condition("datum.front", alt.value(1.0), alt.value(0.35)),
            tooltip=[_tip("run:N"), _tip("experiment:N"), _tip("cost:Q", cost), _tip("quality:Q", quality)],
        )
    )
    front = alt.Chart(points[points["front"]]).mark_line(interpolate="step-after", strokeDash=[4, 4]).encode(**axes)
    named = points[points["front"].astype(bool)].head(_MOST_IN_LEGEND)
    right = named["cost"].astype(float) > (points["cost"].min() + points["cost"].max()) / 2
    left_names = alt.Chart(named[~right]).mark_text(align="left", dx=8, dy=-8, color=_INK).encode(**axes, text="run:N")
    right_names = alt.Chart(named[right]).mark_text(align="right", dx=-8, dy=-8, color=_INK).encode(**axes, text="run:N")
    return (front + dots + left_names + right_names).properties(height=_TALL)


def parallel(points: pd.DataFrame) -> Layers:
    """Parallel coordinates, each axis from its lowest to its highest, with both. `points` has run, axis, value and share."""
    axes = {"x": alt.X("axis:N", sort=None, title=None), "y": alt.Y("share:Q")}
    ordered = points.sort_values("value").groupby("axis")
    extremes = pd.concat([ordered.head(1), ordered.tail(1)]).drop_duplicates(["axis", "value"])
    values = alt.Chart(extremes).mark_text(align="left", dx=7, color=_INK).encode(**axes, text=alt.Text("value:N"))
    lines = (
        alt.Chart(points)
        .mark_line(point=True)
        .encode(
            x=alt.X("axis:N", sort=None, title=None, axis=alt.Axis(labelAngle=-20)),
            y=alt.Y("share:Q", title="Min to max of each axis", axis=alt.Axis(labels=False, ticks=False)),
            color=_run_colour(points),
            detail="run:N",
            tooltip=[_tip("run:N"), _tip("axis:N"), _tip("value:Q")],
        )
    )
    return (lines + values).properties(height=_TALL)


def confusion(cells: pd.DataFrame) -> Layers:
    """A confusion matrix. `cells` has truth, answer, images and share."""
    order = list(dict.fromkeys(cells["truth"]))  # empty cells may be left out, so that answers do not come in order
    base = alt.Chart(cells).encode(
        x=alt.X("answer:N", sort=order, title="Predicted class", axis=alt.Axis(labelOverlap="greedy", labelLimit=120)),
        y=alt.Y("truth:N", sort=order, title="Actual class", axis=alt.Axis(labelOverlap="greedy", labelLimit=120)),
    )
    share = _tip("share:Q", "Share of the actual class", ".1%")
    boxes = base.mark_rect().encode(
        color=alt.Color("share:Q", scale=alt.Scale(scheme="blues", domain=[0, 1]), legend=None),
        tooltip=[_tip("truth:N", "Actual class"), _tip("answer:N", "Predicted class"), _tip("images:Q"), share],
    )
    ink = alt.condition("datum.share > 0.5", alt.value("white"), alt.value("#1f3a5f"))
    numbers = base.transform_filter("datum.images > 0").mark_text().encode(text="images:Q", color=ink)
    return (boxes + numbers if len(order) <= _MOST_NUMBERED else alt.layer(boxes)).properties(height=_SQUARE)


def class_bars(scores: pd.DataFrame) -> alt.Chart:
    """Probabilities of one answer, best first. `scores` has class and probability."""
    return (
        alt.Chart(scores)
        .mark_bar(color=PALETTE[0])
        .encode(
            x=alt.X("probability:Q", title="Probability", scale=alt.Scale(domain=[0, 1]), axis=alt.Axis(format="%")),
            y=alt.Y("class:N", sort=None, title=None),
            tooltip=[_tip("class:N"), _tip("probability:Q", form=".1%")],
        )
    )


def timeline(events: pd.DataFrame) -> alt.Chart:
    """What happened to each model, when. `events` has when, model, version, what, who, text and lane."""
    time = alt.Tooltip("when:T", title="Time", format="%Y-%m-%d %H:%M")
    return (
        alt.Chart(events)
        .mark_point(filled=True, size=90)
        .encode(
            x=alt.X("when:T", title=None),
            y=alt.Y("model:N", title=None),
            yOffset=alt.YOffset("lane:O", scale=alt.Scale(paddingOuter=0.6)),
            color=alt.Color("what:N", scale=_colours(), legend=_legend(None)),
            shape=alt.Shape("what:N", legend=None),
            tooltip=[time, _tip("version:N"), _tip("what:N", "Event"), _tip("who:N", "By"), _tip("text:N", "Details")],
        )
    )


def class_counts(counts: pd.DataFrame) -> alt.Chart:
    """Frames of each class by split. `counts` has class, split, frames and clips."""
    return (
        alt.Chart(counts)
        .transform_calculate(position="indexof(['train', 'val', 'test'], datum.split)")
        .mark_bar()
        .encode(
            x=alt.X("frames:Q", title="Frames", axis=alt.Axis(tickMinStep=1, format="d")),
            y=alt.Y("class:N", sort=None, title=None),
            color=alt.Color("split:N", sort=["train", "val", "test"], scale=_colours(), legend=_legend("Split")),
            order=alt.Order("position:Q"),
            tooltip=[_tip("class:N"), _tip("split:N"), _tip("frames:Q"), _tip("clips:Q")],
        )
    )


def histogram(bins: pd.DataFrame, title: str) -> alt.Chart:
    """A histogram. `bins` has from, to and frames."""
    bars = alt.Chart(bins).mark_bar(binSpacing=1)
    return bars.encode(
        x=alt.X("from:Q", title=title).bin("binned"),
        x2="to:Q",
        y=alt.Y("frames:Q", title="Frames"),
        tooltip=[_tip("from:Q", "From", ".3~f"), _tip("to:Q", "To", ".3~f"), _tip("frames:Q")],
    ).properties(height=140)


def time_lines(points: pd.DataFrame, title: str, window: tuple[int, int]) -> Layers:
    """A figure over a window of time, in seconds since 1970. `points` has line, when and value, which is empty at a gap."""
    bounds = [datetime.fromtimestamp(second, UTC).isoformat() for second in window]  # as numbers Streamlit's Vega loses them
    axis = alt.X("when:T", title=None, scale=alt.Scale(domain=bounds))
    colour = _line_colour(points)
    flat = alt.Scale(domain=[0, 1]) if not points["value"].max() > 0 else alt.Scale()
    base = alt.Chart(points).encode(x=axis, y=alt.Y("value:Q", title=title, scale=flat), color=colour)
    time = alt.Tooltip("when:T", title="Time", format="%Y-%m-%d %H:%M:%S")
    lines = base.mark_line(point=alt.OverlayMarkDef(size=12)).encode(
        tooltip=[_tip("line:N", "Of"), time, _tip("value:Q", title, ",.4~g")]
    )
    ends = points.dropna().sort_values("when").groupby("line").tail(1)
    names = alt.Chart(ends if len(ends) <= _MOST_NAMED else ends.head(0)).mark_text(align="right", dy=-9)
    return (lines + names.encode(x="when:T", y="value:Q", text="line:N", color=colour)).properties(height=_LOW)


def score_bars(scores: pd.DataFrame) -> alt.Chart:
    """How many pictures got which best score, by version. `scores` has version, score, from, pictures and share."""
    return (
        alt.Chart(scores)
        .mark_bar()
        .encode(
            x=alt.X("from:O", title="Best score, from", axis=alt.Axis(labelAngle=0, format=".1f")),
            xOffset="version:N",
            y=alt.Y("share:Q", title="Images, %"),
            color=alt.Color("version:N", scale=_colours(), legend=_legend("Version")),
            tooltip=[_tip("version:N"), _tip("score:N"), _tip("pictures:Q", "Images"), _tip("share:Q", "Share, %", ".1f")],
        )
        .properties(height=_LOW)
    )


def burn_down(points: pd.DataFrame) -> alt.Chart:
    """What is left of each budget by day. `points` has model, day, usd and kind."""
    return (
        alt.Chart(points)
        .mark_line()
        .encode(
            x=alt.X("day:T", title=None),
            y=alt.Y("usd:Q", title="Budget left, USD"),
            color=alt.Color("model:N", scale=_colours(), legend=_legend("Model")),
            strokeDash=alt.StrokeDash("kind:N", sort=["actual", "expected"], legend=_legend(None)),
            tooltip=[_tip("model:N"), _tip("day:T"), _tip("usd:Q", "Left, USD", ",.2f"), _tip("kind:N", "Actual or expected")],
        )
    )


def cost_by_version(costs: pd.DataFrame) -> alt.Chart:
    """Training cost of each version, by trainer."""
    return (
        alt.Chart(costs)
        .mark_bar()
        .encode(
            x=alt.X("usd:Q", title="Training cost, USD"),
            y=alt.Y("version:N", sort=None, title=None),
            color=alt.Color("trainer:N", scale=_colours(), legend=_legend("Trainer")),
            tooltip=[_tip("version:N"), _tip("trainer:N"), _tip("usd:Q", "Cost, USD")],
        )
    )


def quality_trend(points: pd.DataFrame, name: str) -> Layers:
    """A score by version with its 95 % interval, in a line for each data set; what is in production is filled.

    `points` is of `trends.quality_trend`.
    """
    across = alt.X("version:N", sort=None, title="Version", axis=alt.Axis(labelAngle=0))
    scale = alt.Scale(zero=False, nice=True)
    tips = [_tip("version:N"), _tip("score:Q", name, ".3f"), _tip("low:Q", "95 % from", ".3f"), _tip("high:Q", "to", ".3f")]
    base = alt.Chart(points).encode(x=across, tooltip=[*tips, _tip("clips:Q", "Test clips"), _tip("stage:N")])
    bars = base.mark_rule(color=PALETTE[-1], strokeWidth=2).encode(y=alt.Y("low:Q", title=name, scale=scale), y2="high:Q")
    line = base.mark_line(color=PALETTE[0]).encode(y=alt.Y("score:Q", title=name, scale=scale), detail="data set:N")
    dots = base.mark_point(size=80, color=PALETTE[0], opacity=1).encode(
        y=alt.Y("score:Q", scale=scale),
        fill=alt.condition("datum.stage == 'production'", alt.value(PALETTE[0]), alt.value("transparent")),
    )
    return (bars + line + dots).properties(height=SMALL)


def spent_by_month(points: pd.DataFrame) -> alt.Chart:
    """What was spent in each month. `points` has month, what and usd."""
    return (
        alt.Chart(points)
        .mark_bar(size=40)
        .encode(
            x=alt.X("month:O", title=None, axis=alt.Axis(labelAngle=0)),
            y=alt.Y("usd:Q", title="Cost, USD"),
            color=alt.Color("what:N", scale=_colours(), legend=_legend(None)),
            tooltip=[_tip("month:O"), _tip("what:N", "Category"), _tip("usd:Q", "Cost, USD")],
        )
    )


def break_even_curves(points: pd.DataFrame, now: float) -> Layers:
    """A month's cost by requests per day, one line a place, and a rule at the traffic of `now`.

    `points` has requests, place and usd.
    """
    lines = (
        alt.Chart(points)
        .mark_line(point=True)
        .encode(
            x=alt.X("requests:Q", title="Requests per day", scale=alt.Scale(type="log")),
            y=alt.Y("usd:Q", title="USD per month", scale=alt.Scale(type="log")),
            color=alt.Color(
                "place:N",
                scale=_colours(),
                legend=alt.Legend(orient="bottom", columns=1, labelLimit=400, title="Hosting option"),
            ),
            tooltip=[_tip("place:N", "Hosting option"), _tip("requests:Q", "Requests per day"), _tip("usd:Q", "USD per month")],
        )
    )
    today = alt.Chart(pd.DataFrame({"requests": [max(now, 1)]})).mark_rule(strokeDash=[4, 4]).encode(x="requests:Q")
    return (lines + today).properties(height=_TALL + 140)


def _run_colour(points: pd.DataFrame) -> alt.Color:
    if points["run"].nunique() > _MOST_IN_LEGEND:  # a long legend takes the chart's height until nothing of it is left
        return alt.Color("run:N", scale=_colours(), legend=None)
    return alt.Color("run:N", scale=_colours(), legend=alt.Legend(orient="bottom", columns=1, labelLimit=400, title="Run"))


def _line_colour(points: pd.DataFrame) -> alt.Color:
    columns = 3 if points["line"].nunique() <= _MOST_NAMED else 2
    legend = alt.Legend(orient="bottom", columns=columns, labelLimit=220, title=None)
    return alt.Color("line:N", sort=None, scale=_colours(), legend=legend)


def _colours() -> alt.Scale:
    return alt.Scale(range=list(PALETTE))


def _legend(title: str | None) -> alt.Legend:
    return alt.Legend(orient="bottom", title=title)


def _tip(field: str, title: str = "", form: str = "") -> alt.Tooltip:
    """A line of a tooltip: headed by its field, unless another title is given."""
    title = title or field.partition(":")[0].capitalize()
    return alt.Tooltip(field, title=title, format=form) if form else alt.Tooltip(field, title=title)
