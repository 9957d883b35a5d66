"""Forecast: what a month of traffic would cost where, and when that turns."""

from __future__ import annotations

import streamlit as st

from dashboards.charts import break_even_curves
from dashboards.money import break_even, latencies, outlook_table
from dashboards.pages import entries, settings
from dashboards.words import escaped
from registry.money.catalogue import read_catalogue
from registry.money.forecast import advice, flips, forecast
from registry.money.places import Assumed, places
from registry.money.prices import local_price, today
from registry.money.traffic import Traffic

st.title("Forecast")
measured = latencies(entries())
left, middle, right = st.columns(3)
requests = left.number_input("requests a day", 0, 100_000_000, 1000)
hours = left.slider("hours of a day", 1, 24, 24)
days = middle.slider("days of a week", 1, 7, 7)
burst = middle.number_input("at the same moment", 1, 1000, 1)
version = right.selectbox("answers as fast as", [*measured, "as I say"])
service_ms = measured.get(version) or right.number_input("milliseconds for an answer", 0.1, 60_000.0, 50.0)
with st.expander("What nobody publishes"):
    runpod_cold = st.slider("seconds until a RunPod worker answers", 0, 120, 8)
    hf_cold = st.slider("seconds until a sleeping endpoint at Hugging Face answers", 0, 600, 120)

traffic = Traffic(requests_per_day=requests, hours_per_day=hours, days_per_week=days, burst=burst)
known = read_catalogue(settings().price_catalogue)
assumed = Assumed(runpod_cold_s=runpod_cold, hf_cold_s=hf_cold)
compared = places(known, local_price(settings()), service_ms / 1e3, assumed)
with st.spinner("simulating a month"):
    found, turns = forecast(traffic, compared), flips(traffic, compared)
    points = break_even(traffic, compared)

st.subheader(escaped(advice(traffic, found, turns)))
st.caption(
    f"An answer takes {service_ms:g} ms ({escaped(version)}). "
    "In the visitor's browser it costs nothing, where that may be the place."
)
st.dataframe(
    outlook_table(found),
    hide_index=True,
    width="stretch",
    column_config={
        "a month": st.column_config.NumberColumn("USD a month", format="%.2f"),
        "per 1,000": st.column_config.NumberColumn("USD per 1,000", format="%.4f"),
        "cold": st.column_config.NumberColumn("cold starts", format="%.1f %%"),
        "p95 wait": st.column_config.NumberColumn("p95 wait, s", format="%.2f"),
    },
)
st.altair_chart(break_even_curves(points, requests), width="stretch")
used = {one.price.key for one in compared}
for one in known.current():
    if one.price.key in used and one.stale(today()):
        told = f"The price of {' '.join(one.price.key)} is {one.age(today())} days old."
        st.warning(f"{escaped(told)} `modelyard prices --refresh` asks again.")
