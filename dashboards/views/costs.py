"""Costs: what training cost and what serving costs a month."""

from __future__ import annotations

import streamlit as st

from dashboards.charts import cost_by_version
from dashboards.pages import entries, settings
from dashboards.queries import cost_table, serving_quotes, trained_usd
from registry.money.prices import local_price

st.title("Costs")
found = entries()
table = cost_table(found)
quotes = serving_quotes(found)
if table.empty:
    st.info("Nothing was trained yet, so nothing was spent.")
    st.stop()

training, serving, versions = st.columns(3)
training.metric("training so far", f"${trained_usd(found):.4f}")
serving.metric("serving, a month (quoted)", f"${sum(quotes.values()):.2f}")
versions.metric("versions trained", len(table))

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
st.caption(f"This machine is reckoned at ${price.usd_per_hour} an hour: {price.source}.")
