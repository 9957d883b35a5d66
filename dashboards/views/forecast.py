"""Forecast: what a month of traffic would cost where, and at how much traffic that changes."""

from __future__ import annotations

import streamlit as st

from dashboards.money.panels import show_forecast
from dashboards.money.spending import latest_exports
from dashboards.pages import entries, page_header, settings
from dashboards.words import message
from registry.errors import ModelyardError
from registry.money.catalogue import read_catalogue
from registry.money.comparison import Options, compare
from registry.money.places import Assumptions, Overrides
from registry.money.prices import local_price, today
from registry.money.traffic import Traffic
from registry.reports.accounts import measured
from serving.targets.plans import alternatives, plans_by_policy

_CUSTOM = "custom"

page_header("Forecast")
exports = latest_exports(entries())
left, middle, right = st.columns(3)
requests = left.number_input("Requests per day", 0, 100_000_000, 1000)
hours = left.slider("Hours per day", 1, 24, 24)
days = middle.slider("Days per week", 1, 7, 7)
burst = middle.number_input("Concurrency (requests at once)", 1, 1000, 1)
version = right.selectbox("Latency of", [*exports, _CUSTOM])
custom_ms = 50.0 if version in exports else right.number_input("Latency, ms", 0.1, 60_000.0, 50.0)
p95_limit = right.number_input("p95 latency limit, s", 0.0, 3600.0, None, placeholder="none")
facts = measured(entries(), exports.get(version), (custom_ms, _CUSTOM))
model = exports[version].model if version in exports else ""
plans = [*plans_by_policy(entries(), model), *alternatives()]
usual = Assumptions.combine(facts, Overrides())
with st.expander("Cold starts, workers, storage"):
    left, right = st.columns(2)
    hint = {name: f"{cold.seconds:g}, {cold.source}" for name, cold in (("rp", usual.runpod_cold), ("hf", usual.hf_cold))}
    runpod_cold = left.number_input("RunPod cold start, s", 0.0, 3600.0, None, placeholder=hint["rp"])
    hf_cold = right.number_input("Hugging Face cold start, s", 0.0, 3600.0, None, placeholder=hint["hf"])
    workers = left.number_input("Max workers, where they scale", 1, 1000, None, placeholder="as deployed")
    volume = right.number_input("RunPod network volume, GB", 0.0, 100_000.0, 0.0)

traffic = Traffic(requests_per_day=requests, hours_per_day=hours, days_per_week=days, burst=burst)
ground = Assumptions.combine(
    facts, Overrides(runpod_cold_s=runpod_cold, hf_cold_s=hf_cold, max_workers=workers, volume_gb=volume)
)
try:
    prices, local = read_catalogue(settings().price_catalogue), local_price(settings())
    with st.spinner("Simulating a month"):
        forecast = compare(prices, Options(local, plans), traffic, ground, today=today(), p95_limit_s=p95_limit)
except ModelyardError as error:
    st.error(message(error))
    st.stop()

show_forecast(forecast, traffic)
