"""Overview: for whoever asks what is in production, whether it is good, and what it costs."""

from __future__ import annotations

import streamlit as st

from dashboards.overview import accuracy_words, overview, since_words
from dashboards.pages import entries
from dashboards.report import as_csv, as_html
from dashboards.words import dollars, escaped
from registry.events import now

st.title("Models in production")
found = entries()
if not found:
    st.info("Nothing happened yet. `modelyard demo` goes the whole way once; `modelyard train` registers a first version.")
    st.stop()
told = overview(found, now())

spent, expected, versions, promotions = st.columns([3, 4, 3, 3])
spent.metric("spent this month", dollars(told.spent_usd))
expected.metric("expected by its end", dollars(told.expected_usd), help="Spent so far, and endpoints at their quotes.")
versions.metric("versions made", f"{told.versions:,}")
promotions.metric("promotions", f"{told.attempts:,}")

if not told.served:
    st.info("No model is in production.")
for one in told.served:
    with st.container(border=True):
        score, words = st.columns([1, 3])
        score.metric(escaped(one.model, 40), f"{one.evaluation.metrics['top1']:.1%}" if one.evaluation else "not measured")
        words.markdown(f"**{escaped(accuracy_words(one.evaluation))}**")
        speed = f" It answers in {one.latency.p95_ms:.1f} ms (95th percentile)." if one.latency else ""
        place = f" at {one.place}: {one.url}" if one.url else ", and no endpoint serves it"
        words.text(f"{one.version} {since_words(one.since, told.at)}, promoted by {one.who}{place}.{speed}")
        if one.against_usd is not None:
            share = min(float(one.spent_usd / one.against_usd), 1.0) if one.against_usd else 1.0
            words.progress(share, escaped(f"{dollars(one.spent_usd)} of this month's {dollars(one.against_usd)} are spent"))
        else:
            spent_words = f"{dollars(one.spent_usd)} this month, {dollars(one.expected_usd)} expected by its end."
            words.text(f"{spent_words} It has no budget.")

st.subheader("What needs somebody", anchor=False)
if not told.alerts:
    st.success("Nothing: every promotion came to its end, and no budget is nearly spent.", icon=":material/check_circle:")
for alert in told.alerts[:20]:
    show = st.error if alert.grave else st.warning
    show(f"{escaped(alert.text)}  \n`{alert.command.replace('`', '')}`")
if len(told.alerts) > 20:  # noqa: PLR2004
    st.caption(f"and {len(told.alerts) - 20} more: see Registry")

st.subheader("What changed in two weeks", anchor=False)
if told.changed.empty:
    st.caption("Nothing.")
else:
    when = {
        "when": st.column_config.DatetimeColumn(format="YYYY-MM-DD HH:mm"),
        "text": st.column_config.TextColumn("what", width="large"),
    }
    st.dataframe(
        told.changed[["when", "version", "text", "who"]].head(200), hide_index=True, width="stretch", column_config=when
    )

page, table, _ = st.columns([2, 1, 1])
page.download_button("Report (HTML, prints)", as_html(told), f"modelyard-{told.at:%Y-%m-%d}.html", "text/html")
table.download_button("Table (CSV)", as_csv(told), f"modelyard-{told.at:%Y-%m-%d}.csv", "text/csv")
