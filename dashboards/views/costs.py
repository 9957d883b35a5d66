"""Costs: what was spent on what, by whom, and what serving costs a month."""

from __future__ import annotations

import streamlit as st

from dashboards import charts
from dashboards.charts import cost_by_version, spent_by_month
from dashboards.live import ask_all, standing_endpoints
from dashboards.money import WAYS, bills_table, budgets, burn_down, by_month, months, serving_costs, sums, sums_table
from dashboards.pages import entries, runs, settings
from dashboards.queries import cost_table, serving_quotes, trained_usd
from dashboards.words import escaped
from registry.events import now
from registry.money.prices import local_price
from registry.reports.accounts import spending

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
for model, (used, limit, _, overridden) in budgets(found, now(), spent).items():
    share = min(float(used / limit), 1.0) if limit else 1.0
    over = f" ({overridden})" if overridden else ", nothing new is started" if used >= limit else ""
    st.progress(share, escaped(f"{model}: {used:.2f} of {limit:.2f} USD of this month's budget{over}"))

st.subheader("What was spent", anchor=False)
left, right = st.columns(2)
by = left.selectbox("by", WAYS, key="by", bind="query-params")
month = right.selectbox("month", ["all", *months(spent)], key="month", bind="query-params")
chosen = [one for one in spent if month in {"all", one.month}]
sums_of = ("training", "failed", "serving", "other", "billed", "together", "per promoted")
dollars = {name: st.column_config.NumberColumn(format="$%.4f") for name in sums_of}
lies_in = {row.run_id: row.experiment for row in runs().rows} if by == "experiment" else None
groups = sums(found, chosen, by, None if month == "all" else month, lies_in)
st.dataframe(sums_table(groups, by), hide_index=True, width="stretch", column_config=dollars)

months_tab, budget_tab, serving_tab, bills_tab, training_tab = st.tabs(["Months", "Budgets", "Serving", "Bills", "Training"])
with months_tab:
    st.altair_chart(spent_by_month(by_month(spent)), width="stretch")
with budget_tab:
    left_over = burn_down(found, now())
    if len(left_over):
        st.altair_chart(charts.burn_down(left_over), width="stretch")
    else:
        st.info("No model has a budget. Write `budget: {usd_per_month: 20}` into its job file.")
with serving_tab:
    standing = standing_endpoints(found)
    asked = ask_all(standing, settings().endpoint_headers)
    usd = {"a month": "%.2f", "billed this month": "%.2f", "per 1,000 requests": "%.4f", "idle, of the month": "%.2f"}
    columns = {name: st.column_config.NumberColumn(f"{name}, USD", format=form) for name, form in usd.items()}
    served = serving_costs(found, standing, asked, now())
    st.dataframe(served, hide_index=True, width="stretch", column_config=columns)
    price = local_price(settings())
    told = "As quoted, or billed where a bill is there. A cloud's idle spend is its quote: its least workers while nobody asks."
    st.caption(f"{told} This machine is reckoned at {price.usd_per_hour} USD an hour: {escaped(price.source)}.")
with bills_tab:
    st.dataframe(bills_table(found, now()), hide_index=True, width="stretch")
    st.caption("What was billed, beside what the same time was quoted at. `modelyard bills fetch` and `import` bring bills in.")
with training_tab:
    st.altair_chart(cost_by_version(table), width="stretch")
    columns = {"when": st.column_config.DatetimeColumn(format="YYYY-MM-DD HH:mm")}
    columns |= {
        "seconds": st.column_config.NumberColumn(format="%.0f"),
        "usd": st.column_config.NumberColumn("USD", format="%.6f"),
    }
    st.dataframe(table, hide_index=True, width="stretch", column_config=columns)
