"""Costs: what was spent on what, by whom, and what serving costs a month."""

from __future__ import annotations

import streamlit as st

from dashboards.charts import cost_by_version, spent_by_month
from dashboards.money import WAYS, budgets, by_month, months, sums, sums_table
from dashboards.pages import entries, settings
from dashboards.queries import cost_table, serving_quotes, trained_usd
from registry.accounts import spending
from registry.events import now
from registry.money.prices import local_price

st.title("Costs")
found = entries()
table, quotes, spent = cost_table(found), serving_quotes(found), spending(found, now())
if not spent:
    st.info("Nothing was trained or deployed yet, so nothing was spent.")
    st.stop()

training, serving, versions = st.columns(3)
training.metric("training so far", f"${trained_usd(found):.4f}")
serving.metric("serving, a month (quoted)", f"${sum(quotes.values()):.2f}")
versions.metric("versions trained", len(table))
for model, (used, limit) in budgets(found, now()).items():
    st.progress(min(float(used / limit), 1.0), f"{model}: {used:.2f} of {limit:.2f} USD of this month's budget")

st.subheader("What was spent")
left, right = st.columns(2)
by = left.selectbox("by", WAYS)
month = right.selectbox("month", ["all", *months(spent)])
chosen = [one for one in spent if month in {"all", one.month}]
sums_of = ("training", "failed", "serving", "billed", "together", "per promoted")
dollars = {name: st.column_config.NumberColumn(f"{name}, USD", format="%.4f") for name in sums_of}
st.dataframe(sums_table(sums(found, chosen, by), by), hide_index=True, width="stretch", column_config=dollars)
st.altair_chart(spent_by_month(by_month(spent)), width="stretch")

st.subheader("Training")
st.altair_chart(cost_by_version(table), width="stretch")
st.dataframe(
    table,
    hide_index=True,
    width="stretch",
    column_config={
        "when": st.column_config.DatetimeColumn(format="YYYY-MM-DD HH:mm"),
        "seconds": st.column_config.NumberColumn(format="%.0f"),
        "usd": st.column_config.NumberColumn("USD", format="%.6f"),
    },
)

st.subheader("Serving")
if quotes:
    st.dataframe([{"endpoint": name, "USD a month": float(usd)} for name, usd in quotes.items()], hide_index=True)
else:
    st.info("No endpoint is deployed.")
price = local_price(settings())
st.caption(f"This machine is reckoned at {price.usd_per_hour} USD an hour: {price.source}.")
