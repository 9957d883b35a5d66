"""Data: what the data sets of this home hold, and what the checks said of them."""

from __future__ import annotations

import streamlit as st

from dashboards.charts import class_counts, spread
from dashboards.datasets import SPLITS, checked, data_sets, findings_table, shares, spread_table, verdicts
from dashboards.pages import entries, settings
from dashboards.words import escaped

st.title("Data")
home = settings().home.absolute()
known = {one.name: one for one in data_sets(home)}
if not known:
    st.info("No data set is on this machine. `modelyard frames` makes one from clips.")
    st.stop()

name = st.selectbox("data set", list(known), key="data", bind="query-params")
held = known[name]
frames, clips, classes, state = st.columns(4)
frames.metric("frames", f"{len(held.frames):,}")
clips.metric("clips" if held.source == "clips" else "groups", f"{len({one['clip'] for one in held.frames}):,}")
classes.metric("classes", len(held.labels))
said = verdicts(entries()).get(held.digest)
state.metric("checks", "unchecked" if said is None else "hold" if said.holds else "do not hold")
st.caption(f"Digest {held.digest}. Split by {held.source[:-1]}: what belongs together lies in one split.")
if said and (said.errors or said.warnings):
    st.warning(f"{said.errors} errors and {said.warnings} warnings: `modelyard check` says which.")
elif said is None:
    st.info("`modelyard check` holds it to the checks; training does that too.")

counts = held.counts()
for line in shares(counts):
    st.warning(escaped(line))
st.altair_chart(class_counts(counts), width="stretch")

if report := checked(home, held.digest):
    st.subheader("What the checks say", anchor=False)
    st.dataframe(findings_table(report), hide_index=True, width="stretch")
    for place, (what, part) in zip(st.columns(2), spread_table(report).groupby("what"), strict=False):
        place.altair_chart(spread(part, str(what)), width="stretch")

st.subheader("Frames", anchor=False)
left, right = st.columns(2)
split = left.segmented_control("split", SPLITS, default="train", key="split") or "train"
label = right.selectbox("class", ["all", *held.labels], key="class")
pictures = held.examples(split, None if label == "all" else label, 24)
if not pictures:
    st.info("There are no frames of it here.")
    st.stop()
st.image([str(path) for path, _ in pictures], [escaped(words) for _, words in pictures], width=112)
