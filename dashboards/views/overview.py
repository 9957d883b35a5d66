"""Overview: for stakeholders who ask what is in production, whether it is good, and what it costs."""

from __future__ import annotations

import streamlit as st

from dashboards.cards import show_card
from dashboards.money.charts import money_trend
from dashboards.overview import CHANGED_DAYS, overview
from dashboards.pages import entries, page_header, settings
from dashboards.report import as_csv, as_html
from dashboards.tables import show_table
from dashboards.words import message
from registry.amounts import format_usd

_MOST_ALERTS = 20
_MOST_CHARTS = 3
_MOST_CARDS = 40
_SHOWN = ["when", "version", "text", "who"]

at = page_header("Models in production")
rows = entries()
if not rows:
    st.info("Nothing has happened yet. `modelyard demo` runs everything once; `modelyard train` registers a first version.")
    st.stop()
summary = overview(rows, at)

spent, expected, versions, promotions = st.columns([3, 4, 3, 3])
spent.metric("Spent this month", format_usd(summary.spent_usd))
expected.metric(
    "Expected this month",
    format_usd(summary.expected_usd),
    help="Spent so far, plus the quotes of the endpoints until its end.",
)
versions.metric("Versions", f"{summary.versions:,}")
promotions.metric("Promotions to production", f"{summary.promotions:,}")

if not summary.served:
    st.info("No model is in production.")
for served in summary.served[:_MOST_CARDS]:
    show_card(settings(), served, at, chart=len(summary.served) <= _MOST_CHARTS)

if len(summary.served) > _MOST_CARDS:
    st.caption(f"{len(summary.served) - _MOST_CARDS} more models are in production: see the Registry page, or the table below.")
if summary.money["usd"].any():
    st.subheader("Cost by month", anchor=False)
    st.altair_chart(money_trend(summary.money), width="stretch")

st.subheader("Needs attention", anchor=False)
if not summary.alerts:
    st.success("Nothing: every promotion is complete, and no budget is close to its limit.", icon=":material/check_circle:")
for alert in summary.alerts[:_MOST_ALERTS]:
    show = st.error if alert.grave else st.warning
    show(f"{message(alert.text)}  \n`{alert.command.replace('`', '')}`")
if len(summary.alerts) > _MOST_ALERTS:
    st.caption(f"{len(summary.alerts) - _MOST_ALERTS} more on the Registry and Costs pages.")

st.subheader(f"Last {CHANGED_DAYS} days", anchor=False)
if summary.changed.empty:
    st.caption("No changes.")
else:
    show_table(summary.changed[_SHOWN].head(200))

page, table, _ = st.columns([2, 1, 1])
page.download_button("Report (HTML, printable)", as_html(summary), f"modelyard-{summary.at:%Y-%m-%d}.html", "text/html")
table.download_button("Table (CSV)", as_csv(summary), f"modelyard-{summary.at:%Y-%m-%d}.csv", "text/csv")
