"""Costs: what was spent on what, by whom, and what serving costs per month."""

from __future__ import annotations

import streamlit as st

from dashboards import charts
from dashboards.charts import cost_by_version, spent_by_month
from dashboards.money import GROUPINGS, bills_table, budget_lines, burn_down, by_month, months, serving_costs, sums_table
from dashboards.pages import entries, page_header, runs, settings
from dashboards.queries import cost_table
from dashboards.report import table_csv
from dashboards.tables import show_table
from dashboards.words import escaped
from registry.amounts import format_usd
from registry.events import now
from registry.money.prices import local_price
from registry.reports.costs import CostReport
from serving.series.polling import poll_endpoints

_USD = ("training", "failed", "serving", "other", "billed", "total", "per promoted")
_SUM_FORMATS: dict[str, str] = dict.fromkeys(_USD, "$%.4f")
_SUM_LABELS = {"failed": "Failed runs", "in production": "Promoted", "per promoted": "Per promoted version"}
_SERVING_FORMATS = dict.fromkeys(("per month", "billed this month", "idle per month"), "$%.2f") | {
    "per 1,000 requests": "$%.4f"
}

page_header("Costs")
rows = entries()
report = CostReport.of(rows, now())
table, spent = cost_table(rows), report.spends
if not spent:
    st.info("Nothing was trained or deployed yet, so nothing was spent.")
    st.stop()

training, serving, versions = st.columns(3)
training.metric("Training, total", format_usd(report.training_usd))
serving.metric("Serving per month, as quoted", format_usd(report.serving_usd_per_month))
versions.metric("Versions trained", len(table))
for share, sentence in budget_lines(rows, now(), spent):
    st.progress(share, escaped(sentence))

st.subheader("Spending", anchor=False)
left, right = st.columns(2)
by = left.selectbox("Group by", GROUPINGS, key="by", bind="query-params")
month = right.selectbox("Month", ["all", *months(spent)], key="month", bind="query-params")
experiments = {row.run_id: row.experiment for row in runs().rows} if by == "experiment" else None
groups = report.sums(by, None if month == "all" else month, experiments).groups
show_table(sums := sums_table(groups, by), _SUM_FORMATS, _SUM_LABELS)
st.download_button("Table (CSV, US dollars)", table_csv(sums), f"modelyard-costs-by-{by}.csv", "text/csv")

tabs = st.tabs(["By month", "Budgets", "Serving", "Bills", "Training"])
with tabs[0]:
    st.altair_chart(spent_by_month(by_month(spent)), width="stretch")
with tabs[1]:
    left_over = burn_down(rows, now())
    if len(left_over):
        st.altair_chart(charts.burn_down(left_over), width="stretch")
    else:
        st.info(
            "No model has a budget. Set one in its job file: `budget: {usd_per_month: 20}`. A person's is set by "
            "`modelyard budget person NAME --usd-per-month 20`."
        )
with tabs[2]:
    deployed = report.deployments
    readings = poll_endpoints(deployed, settings().endpoint_headers)
    show_table(serving_costs(rows, deployed, readings, now()), _SERVING_FORMATS, {"per month": "Quote per month"})
    price = local_price(settings())
    st.caption(
        "The cost per 1,000 requests is from the bill where there is one, otherwise from the quote. A cloud endpoint's idle "
        "cost is its quote: minimum workers, no traffic. "
        f"This machine costs ${price.usd_per_hour} an hour: {escaped(price.source)}."
    )
with tabs[3]:
    show_table(bills_table(rows, now()), {"quoted": "$%.4f", "billed": "$%.4f"})
    st.caption("Each bill, beside the quote for the same time. `modelyard bills fetch` and `modelyard bills import` add bills.")
with tabs[4]:
    st.altair_chart(cost_by_version(table), width="stretch")
    show_table(table, {"seconds": "%.0f", "usd": "$%.6f"}, {"price as of": "Price date"})
