"""Parts of the Costs and Forecast pages: what serving costs, where a month goes, and what it would be elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from functools import partial

import pandas as pd
import streamlit as st

from dashboards import charts
from dashboards.files import table_csv
from dashboards.money.charts import hosting_bars, money_trend
from dashboards.money.outlook import bands_table, bars_table, break_even, headline, outlook_table, twice
from dashboards.money.spending import budgets, month_end, months, serving_costs
from dashboards.money.statement import Statement, lines_table, sentence, statement, statement_html
from dashboards.tables import PERCENT, show_table
from dashboards.trends import money_trend as trend_of_months
from dashboards.words import escaped
from registry.money.comparison import Forecast
from registry.money.prices import local_price
from registry.money.traffic import Traffic
from registry.protocols import Entry
from registry.reports.accounts import Spend
from registry.reports.costs import CostReport
from registry.settings import Settings
from serving.series.polling import poll_endpoints

_SERVING = dict.fromkeys(("per month", "billed this month", "idle per month"), "$%.2f") | {"per 1,000 requests": "$%.4f"}
_FIGURES = {
    "per month": "$%.2f",
    "least": "$%.2f",
    "storage": "$%.2f",
    "per 1,000": "$%.4f",
    "cold": PERCENT,
    "p95 wait": "%.2f",
}
_LABELS = {"place": "Hosting option", "least": "If starts are free", "storage": "Incl. storage"}
_LABELS |= {"per 1,000": "Per 1,000 requests", "cold": "Cold starts"}
_WORDS = {"what": "Hosting option", "yours": "Deployed so", "twice the traffic": "With twice the traffic"}


def show_statement(entries: Sequence[Entry], spent: Sequence[Spend], at: datetime) -> None:
    """A sentence about this month, and a month's statement as a file, which is made when it is asked for."""
    this = f"{at:%Y-%m}"
    st.markdown(f"**{escaped(sentence(this, [spend for spend in spent if spend.month == this]))}**")
    with st.popover("Statement", icon=":material/receipt_long:"):
        month = st.selectbox("Month", sorted({this, *months(spent)}, reverse=True), key="statement")
        name = f"modelyard-statement-{month}"
        html = partial(_file, entries, month, at, statement_html)
        st.download_button("Statement (HTML, printable)", html, f"{name}.html", "text/html", on_click="ignore")
        table = partial(_file, entries, month, at, _csv)
        st.download_button("Statement (CSV)", table, f"{name}.csv", "text/csv", on_click="ignore")


def _file(entries: Sequence[Entry], month: str, at: datetime, make: Callable[[Statement], str]) -> str:
    return make(statement(entries, month, at))


def _csv(given: Statement) -> str:
    return table_csv(lines_table(given))


def show_months(entries: Sequence[Entry], spent: Sequence[Spend], at: datetime) -> None:
    """What each month cost, and what this one comes to."""
    st.subheader("What will it be?", anchor=False)
    limits = {model: budget.limit for model, budget in budgets(entries, at, spent).items()}
    points = trend_of_months(spent, month_end(entries, at), limits, at)
    st.altair_chart(money_trend(points), width="stretch")
    st.caption("Expected: spent so far, and the endpoints at their quotes until the month ends. Training to come is not in it.")


def show_serving(report: CostReport, settings: Settings) -> None:
    """What each endpoint costs, and what that rests on."""
    readings = poll_endpoints(report.deployments, settings.endpoint_headers)
    costs = serving_costs(report.entries, report.deployments, readings, report.now, report.spends)
    show_table(costs, _SERVING, {"per month": "Quote per month"})
    price = local_price(settings)
    st.caption(
        "The cost per 1,000 requests is from the bill where there is one, otherwise from the quote. A cloud endpoint's idle "
        "cost is its quote: minimum workers, no traffic. "
        f"This machine costs {f'${price.usd_per_hour} an hour' if price.usd_per_hour else 'nothing'}: {escaped(price.source)}."
    )


def parts_table(sums: pd.DataFrame, by: str) -> pd.DataFrame:
    """Columns key, what, usd: each sum in its parts, of the fifteen dearest. `sums` is of `sums_table`."""
    top = sums.nlargest(15, "total")
    parts = top.melt(id_vars=[by], value_vars=["training", "failed", "serving", "other"], var_name="what", value_name="usd")
    return parts.rename(columns={by: "key"})


def show_forecast(forecast: Forecast, traffic: Traffic) -> None:
    """The advice, one table in words and bands, one chart; then all figures and all assumptions for who asks."""
    places = [option.place for option in forecast.places]
    doubled = twice(traffic, places)
    st.subheader(escaped(headline(forecast.places, traffic), 600))
    st.caption(escaped(forecast.advice, 600))
    st.caption(f"Latency: {forecast.service_ms:.3g} ms ({escaped(forecast.service_from)}). {forecast.browser}")
    table = bands_table(forecast.places, doubled)
    show_table(table.loc[:, [bool(table[name].any()) for name in table]], labels=_WORDS)
    st.subheader("What if traffic doubles?", anchor=False)
    st.altair_chart(hosting_bars(bars_table(forecast.places, doubled)), width="stretch")
    if forecast.stale:
        st.caption(f"{len(forecast.stale)} of the prices are old; `modelyard prices --refresh` updates them.")
    with st.expander("All figures"):
        show_table(outlook_table(forecast.places), _FIGURES, _LABELS)
        st.altair_chart(charts.break_even_curves(break_even(traffic, places), traffic.requests_per_day), width="stretch")
    with st.expander("Assumptions"):
        for line in forecast.stale:
            st.markdown(f"Old price: {escaped(line, 2000)}")
        for line in forecast.assumed:
            st.markdown(escaped(line, 2000))
        for option in places:
            st.markdown(f"- **{escaped(option.name)}**: {escaped('; '.join(option.assumed), 2000)}")
