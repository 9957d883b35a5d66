"""The lineage of a version, drawn: boxes from its clips to its endpoints, with what changed since the version before."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import streamlit as st

from dashboards.mistakes import local_dataset
from dashboards.versions.lineage import lineage, trained_versions
from dashboards.words import escaped
from registry.protocols import Entry
from registry.runs.rows import RunRow
from registry.settings import Settings


def show_lineage(settings: Settings, entries: Sequence[Entry], runs: Iterable[RunRow], chosen: str) -> None:
    """A version to choose, `chosen` at first, and its boxes one below the other: a phone shows them as a desk does."""
    versions = trained_versions(entries)
    if not versions:
        st.info("No version was trained here.")
        return
    first = versions.index(chosen) if chosen in versions else 0
    label = st.selectbox("Version", versions, index=first, key="lineage")
    root = settings.datasets.absolute()
    for number, step in enumerate(lineage(entries, label, runs, lambda digest: local_dataset(root, digest))):
        if number:
            st.markdown(":material/arrow_downward:")
        with st.container(border=True):
            left, right = st.columns([3, 2])
            left.markdown(f"**{step.name}**  \n{escaped(step.text)}")
            if step.difference:
                right.caption(f"Since the version before: {escaped(step.difference)}")
