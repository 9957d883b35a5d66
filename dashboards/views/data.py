"""Data: what the datasets of this home hold, and the results of their checks."""

from __future__ import annotations

import streamlit as st

from dashboards.charts import class_counts, histogram
from dashboards.datasets import (
    SPLITS,
    failures_of,
    findings_table,
    histogram_table,
    imbalances,
    latest_report,
    local_datasets,
    outcome_of,
    report_pictures,
    verdicts,
    warnings_of,
)
from dashboards.pages import entries, page_header, settings
from dashboards.tables import show_table
from dashboards.versions.panels import show_suspected, show_versions
from dashboards.words import escaped, message

page_header("Data")
home = settings().home.absolute()
if not (datasets := {dataset.name: dataset for dataset in local_datasets(home / "datasets")}):
    st.info("No dataset is on this machine. `modelyard frames` makes one from clips.")
    st.stop()

name = st.selectbox("Dataset", list(datasets), key="data", bind="query-params")
dataset = datasets[name]
grouping = "clips" if dataset.source == "clips" else "groups" if dataset.groups_known else "images"
frames, clips, classes, checks = st.columns(4)
frames.metric("Frames" if dataset.source == "clips" else "Images", f"{len(dataset.frames):,}")
clips.metric(grouping.capitalize(), f"{len({frame['clip'] for frame in dataset.frames}):,}")
classes.metric("Classes", len(dataset.labels))
verdict = verdicts(entries()).get(dataset.digest)
report = latest_report(home, dataset.digest)
checks.metric("Checks", outcome_of(verdict, report))
st.caption(f"Digest {dataset.digest}. {dataset.split_in_words}")
for line in failures_of(report):
    st.error(message(line))
for line in warnings_of(verdict, report):
    st.warning(line)
if verdict is None and report is None:
    st.info("`modelyard check` runs the checks; training does that too.")

counts = dataset.counts()
for line in imbalances(counts):
    st.warning(message(line))
st.altair_chart(class_counts(counts), width="stretch")

if report:
    st.subheader("Check results", anchor=False)
    show_table(findings_table(report))
    for column, (what, bins) in zip(st.columns(2), histogram_table(report).groupby("what"), strict=False):
        column.altair_chart(histogram(bins, str(what).capitalize()), width="stretch")
    if pairs := report_pictures(report, "leaks"):
        st.subheader("Leaks, side by side", anchor=False)
        st.caption("In each pair the image of the earlier split is at the left, the held-out one at the right.")
        for kind, path in pairs.items():
            st.image(str(path), escaped(kind.replace("_", " ")))
    if sheets := report_pictures(report, "sheets"):
        with st.expander("Contact sheets"):
            for part, path in sheets.items():
                st.image(str(path), part)
show_suspected(settings(), dataset)
show_versions(settings(), dataset)

st.subheader("Frames", anchor=False)
left, right = st.columns(2)
split = left.segmented_control("Split", SPLITS, default="train", key="split") or "train"
label = right.selectbox("Class", ["all", *dataset.labels], key="class")
pictures = dataset.examples(split, None if label == "all" else label, 24)
if not pictures:
    st.info("No frames of this class and split are on this machine.")
    st.stop()
st.image([str(path) for path, _ in pictures], [escaped(text) for _, text in pictures], width=112)
