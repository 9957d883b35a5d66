"""A model in production as a card of the Overview: how good, since when, where it answers, what it costs, and its trend."""

from __future__ import annotations

from contextlib import suppress
from datetime import datetime
from urllib.parse import quote, urlsplit

import streamlit as st

from dashboards.charts import quality_trend
from dashboards.clock import zone
from dashboards.endpoints.try_it import show_try_it
from dashboards.money.spending import spent_share
from dashboards.overview import Served, accuracy_words, doubt_words, score_words, since_words
from dashboards.trends import trend_words
from dashboards.words import escaped
from registry.address import mlflow_address, redact_login
from registry.amounts import format_usd
from registry.errors import ModelyardError
from registry.money.prices import local_price
from registry.settings import Settings

_FEW_VERSIONS = 2


def show_card(settings: Settings, served: Served, at: datetime, *, chart: bool) -> None:
    """The card, with a form to try the model where its endpoint is on this machine; with `chart`, its scores with intervals."""
    with st.container(border=True):
        score, text = st.columns([1, 3])
        figure = score_words(served.evaluation) if served.evaluation else "not evaluated"
        doubt = doubt_words(served.evaluation) if served.evaluation else ""
        about = "Top-1 accuracy on held-out images; of a detector, mAP50-95."
        line = list(served.trend["score"]) if len(served.trend) >= _FEW_VERSIONS else None
        score.metric(
            escaped(served.model, 40),
            figure,
            doubt or None,
            delta_color="off",
            delta_arrow="off",
            help=about,
            chart_data=None if chart else line,
            chart_type="line",
        )
        text.markdown(f"**{escaped(accuracy_words(served.evaluation))}**")
        text.text(sentence(served, at))
        _show_budget(settings, served)
        with st.container(horizontal=True):
            for name, address in links(settings, served):
                st.link_button(name, address, icon=":material/open_in_new:")
        if words := trend_words(served.trend):
            text.caption(f"Score: {escaped(words)}.")
        if line and chart:
            st.caption(
                "Score by version, with its 95% interval. The filled one is in production; a line joins scores on one data set."
            )
            name = served.evaluation.score_name if served.evaluation else "score"
            st.altair_chart(quality_trend(served.trend, name), width="stretch")
        show_try_it(settings, served)


def sentence(served: Served, at: datetime) -> str:
    """Since when, by whom, where and how fast."""
    speed = f", p95 latency {served.latency.p95_ms:.1f} ms" if served.latency else ""
    where = f", served by the {served.place} endpoint {served.url}" if served.url else ", without an endpoint"
    return f"{served.version} {since_words(served.since, at, zone())}, promoted by {served.who}{where}{speed}"


def _show_budget(settings: Settings, served: Served) -> None:
    free = ""
    if served.free:
        why = "it was deployed at none" if local_price(settings).is_set else "no rate is set"
        free = f" Its process on this machine costs nothing: {why}."
    expected = f"{format_usd(served.expected_usd)} expected by its end"
    if served.against_usd is None:
        st.text(f"{format_usd(served.spent_usd)} spent this month, {expected}. No budget.{free}")
        return
    of = f"{format_usd(served.spent_usd)} of this month's {format_usd(served.against_usd)} budget spent"
    st.progress(spent_share(served.spent_usd, served.against_usd), escaped(f"{of}, {expected}.{free}"))


def links(settings: Settings, served: Served) -> list[tuple[str, str]]:
    """The endpoint, and the model's page in MLflow where a server is known: what has an address of the web."""
    known = [("Endpoint", served.url)]
    with suppress(ModelyardError):
        address = redact_login(mlflow_address(settings)).rstrip("/")
        known.append(("Model in MLflow", f"{address}/#/models/{quote(served.model, safe='')}"))
    return [(name, address) for name, address in known if urlsplit(address).scheme in {"http", "https"}]
