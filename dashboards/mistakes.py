"""The surest wrong answers of a version, as pictures where their data set is on this machine."""

from __future__ import annotations

from pathlib import Path

import streamlit as st

from dashboards.datasets import LocalDataset, data_sets, of_digest
from registry.records import Evaluation
from registry.settings import Settings


@st.cache_data(ttl=60, show_spinner=False)
def _held(home: Path, digest: str) -> LocalDataset | None:
    return of_digest(data_sets(home), digest)


def show_mistakes(settings: Settings, evaluation: Evaluation) -> None:
    """Pictures with what they show and what was answered; words where the pictures are elsewhere."""
    if not evaluation.mistakes:
        wrong = sum(sum(line) - line[place] for place, line in enumerate(evaluation.confusion))
        st.info("Every held-out image was answered rightly." if not wrong else "Which images were wrong was not kept.")
        return
    held = _held(settings.home.absolute(), evaluation.dataset)
    columns = st.columns(4)
    for place, one in enumerate(evaluation.mistakes[:8]):
        words = f"{one.label}, answered {one.answer or 'no number'} ({one.probability:.0%})"
        path = held.inside(one.file) if held else None
        if path:
            columns[place % 4].image(str(path), width="stretch")
        columns[place % 4].text(words if path else f"{one.file}: {words}")
