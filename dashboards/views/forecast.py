"""Forecast: what a month of traffic would cost where, and when that turns."""

from __future__ import annotations

import streamlit as st

from dashboards.charts import break_even_curves
from dashboards.money import break_even, exports, outlook_table
from dashboards.pages import entries, settings
from dashboards.words import escaped
from registry.errors import ModelyardError
from registry.money.catalogue import read_catalogue
from registry.money.comparison import compare
from registry.money.places import Assumptions, Overrides
from registry.money.prices import local_price, today
from registry.money.traffic import Traffic
from registry.reports.accounts import measured

st.title("Forecast")
known = exports(entries())
left, middle, right = st.columns(3)
requests = left.number_input("requests a day", 0, 100_000_000, 1000)
hours = left.slider("hours of a day", 1, 24, 24)
days = middle.slider("days of a week", 1, 7, 7)
burst = middle.number_input("at the same moment", 1, 1000, 1)
version = right.selectbox("answers as fast as", [*known, "as I say"])
said_ms = 50.0 if version in known else right.number_input("milliseconds for an answer", 0.1, 60_000.0, 50.0)
longest = right.number_input("longest wait of 19 in 20, s", 0.0, 3600.0, None, placeholder="any")
facts = measured(entries(), known.get(version), (said_ms, "as I say"))
usual = Assumptions.combine(facts, Overrides())
with st.expander("Cold starts, workers, storage"):
    one, other = st.columns(2)
    hint = {name: f"{cold.seconds:g}, {cold.source}" for name, cold in (("rp", usual.runpod_cold), ("hf", usual.hf_cold))}
    runpod_cold = one.number_input("seconds until a RunPod worker answers", 0.0, 3600.0, None, placeholder=hint["rp"])
    hf_cold = other.number_input(
        "seconds until a sleeping Hugging Face endpoint answers", 0.0, 3600.0, None, placeholder=hint["hf"]
    )
    workers = one.number_input("workers at most, where they come and go", 1, 1000, usual.max_workers)
    volume = other.number_input("GB of a RunPod network volume", 0.0, 100_000.0, 0.0)

traffic = Traffic(requests_per_day=requests, hours_per_day=hours, days_per_week=days, burst=burst)
ground = Assumptions.combine(
    facts, Overrides(runpod_cold_s=runpod_cold, hf_cold_s=hf_cold, max_workers=workers, volume_gb=volume)
)
try:
    prices, local = read_catalogue(settings().price_catalogue), local_price(settings())
    with st.spinner("simulating a month"):
        found = compare(prices, local, traffic, ground, today=today(), p95_limit_s=longest)
        points = break_even(traffic, [one.place for one in found.places])
except ModelyardError as error:
    st.error(escaped(str(error)))
    st.stop()

st.subheader(escaped(found.advice, 600))
st.caption(f"An answer takes {found.service_ms:.3g} ms ({escaped(found.service_from)}). {found.browser}")
st.dataframe(
    outlook_table(found.places),
    hide_index=True,
    width="stretch",
    column_config={
        "a month": st.column_config.NumberColumn("USD a month", format="%.2f"),
        "storage": st.column_config.NumberColumn("of it storage", format="%.2f"),
        "per 1,000": st.column_config.NumberColumn("USD per 1,000", format="%.4f"),
        "cold": st.column_config.NumberColumn("cold starts", format="%.1f %%"),
        "p95 wait": st.column_config.NumberColumn("p95 wait, s", format="%.2f"),
    },
)
st.altair_chart(break_even_curves(points, requests), width="stretch")
for line in found.stale:
    st.warning(f"The price of {escaped(line)}. `modelyard prices --refresh` asks again.")

st.subheader("What it rests on", anchor=False)
for line in found.assumed:
    st.markdown(escaped(line, 2000))
rests = [f"- **{escaped(one.place.name)}**: {escaped('; '.join(one.place.assumed), 2000)}" for one in found.places]
st.markdown("\n".join(rests))
