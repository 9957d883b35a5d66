"""Parts of the Registry and Data pages: evidence as a file, verification, versions of a data set, and suspected labels."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from shlex import quote

import streamlit as st

from dashboards.clock import in_words, zone
from dashboards.datasets import LocalDataset
from dashboards.mistakes import local_dataset
from dashboards.pages import Runs
from dashboards.queries import evidence_table
from dashboards.reviews import picture_of, sentence
from dashboards.tables import show_table
from dashboards.versions.data import version_table
from dashboards.versions.evidence import evidence_json, judged_versions, verify
from dashboards.words import escaped, message
from registry.errors import ModelyardError
from registry.events import now
from registry.protocols import Entry
from registry.reports.reviews import Review
from registry.settings import Settings

_MOST_SUSPECTED = 12
_DIGESTS = {"model's files": "Model digest", "data set": "Dataset digest", "policy": "Policy hash", "bundle": "Bundle digest"}


def show_evidence(settings: Settings, entries: Sequence[Entry], known: Runs) -> None:
    """Every verdict's evidence; a version's as a file, and a button that verifies it. The result stays, with its date."""
    links = {row.run_id: f"{known.link}{row.path}" for row in known.rows if known.link and not row.is_training}
    show_table(evidence_table(entries, links), labels=_DIGESTS, links=["MLflow"])
    st.caption("A verdict is bound to the digests of what was measured.")
    versions = judged_versions(entries)
    if not versions:
        return
    left, middle, right = st.columns([2, 1, 1], vertical_alignment="bottom")
    label = left.selectbox("Version", versions, key="evidence")
    name = "".join(letter if letter.isalnum() else "-" for letter in label)
    made = partial(evidence_json, entries, label)
    middle.download_button("Evidence (JSON)", made, f"evidence-{name}.json", "application/json", on_click="ignore")
    results = st.session_state.setdefault("verified", {})
    if right.button("Verify", icon=":material/verified:", help="The ledger's chain and signatures, and the bundle's files."):
        results[label] = verify(settings, entries, label, now())
    for check in results.get(label, ()):
        show = st.success if check.holds else st.error
        show(f"{message(check.text)} ({in_words(check.at, zone())})")
    st.caption("The registered files themselves are verified by the command:")
    st.code(f"modelyard verify {quote(label)}", language=None)


def show_versions(settings: Settings, dataset: LocalDataset) -> None:
    """The versions of a data set that are on this machine, where it has more than one."""
    if dataset.version == 1 and not dataset.parent:
        return
    root = settings.datasets.absolute()
    st.subheader("Versions", anchor=False)
    show_table(version_table(dataset, lambda digest: local_dataset(root, digest)))
    st.caption("`modelyard data diff` compares two of them clip by clip.")


def show_suspected(settings: Settings, dataset: LocalDataset) -> None:
    """Pictures whose labels are suspected to be wrong, the worst first; the Review page decides about them."""
    review = Review.of(settings.home.absolute(), dataset.digest)
    try:
        suspected = [candidate for candidate in review.candidates() if candidate.kind == "label-error"]
    except ModelyardError as error:
        st.warning(message(error))
        return
    if not suspected:
        return
    st.subheader("Suspected wrong labels", anchor=False)
    pictures = [(picture_of(dataset, review, candidate), candidate) for candidate in suspected[:_MOST_SUSPECTED]]
    shown = [(picture, escaped(sentence(candidate))) for picture, candidate in pictures if picture]
    if shown:
        st.image([picture for picture, _ in shown], [text for _, text in shown], width=180)
    st.caption(f"{len(suspected):,} in all. The Review page decides about each; `modelyard dashboard --review` starts it.")
