"""The most confident wrong predictions of a version, as pictures where their dataset is on this machine."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import streamlit as st

from dashboards.datasets import LocalDataset, find_dataset, test_set_notice
from dashboards.words import escaped, message
from registry.measured import few_clips_in_words
from registry.records import Evaluation, Mistake
from registry.settings import Settings


@st.cache_data(ttl=60, show_spinner=False)
def local_dataset(root: Path, digest: str) -> LocalDataset | None:
    """The data set that a digest names, where it is on this machine."""
    return find_dataset(root, digest)


def show_test_sets(settings: Settings, scored: Sequence[tuple[str, Evaluation]]) -> None:
    """Say it where versions were scored on different test images. `scored`: their names and scores."""
    root = settings.datasets.absolute()
    if notice := test_set_notice(scored, lambda digest: local_dataset(root, digest)):
        st.warning(message(notice))


def by_clip(mistakes: Sequence[Mistake], dataset: LocalDataset | None) -> list[tuple[Mistake, int]]:
    """The first mistake of each clip, and how many more there are of that clip; each by itself where no data set tells clips.

    Frames of a clip look alike: eight pictures of one clip would show one mistake eight times.
    """
    clips = {str(frame["file"]): str(frame["clip"]) for frame in dataset.frames} if dataset else {}
    first, more = dict[str, Mistake](), Counter[str]()
    for number, mistake in enumerate(mistakes):
        clip = clips.get(mistake.file, f"unknown {number}")
        first.setdefault(clip, mistake)
        more[clip] += 1
    return [(mistake, more[clip] - 1) for clip, mistake in first.items()]


def _words(mistake: Mistake) -> str:
    """What was there and what was predicted; a detector's mistake says where."""
    if mistake.box is None:
        return f"{mistake.label}, predicted {mistake.answer or 'NaN'} ({mistake.probability:.0%})"
    where = "at " + ", ".join(f"{side:.0f}" for side in mistake.box)
    if not mistake.answer:
        return f"{mistake.label} missed, {where}"
    true = mistake.label or "nothing there"
    return f"{true}, detected as {mistake.answer} ({mistake.probability:.0%}), {where}"


def _show_reliability(evaluation: Evaluation) -> None:
    """What a score rests on, and how far the answers can be relied on."""
    if few := few_clips_in_words(evaluation.clips, evaluation.split):
        st.warning(message(f"{few[0].upper()}{few[1:]}."))
    for part in filter(None, (evaluation.robustness, evaluation.calibration, evaluation.sets)):
        st.caption(escaped(str(part), 600))


def show_mistakes(settings: Settings, evaluation: Evaluation) -> None:
    """Pictures with their class and what was predicted; only words where the pictures are elsewhere. First what it rests on."""
    _show_reliability(evaluation)
    if not evaluation.mistakes:
        wrong = sum(sum(line) - line[index] for index, line in enumerate(evaluation.confusion))
        st.info("Which images were misclassified was not recorded." if wrong else "Every test image was classified correctly.")
        return
    dataset = local_dataset(settings.datasets.absolute(), evaluation.dataset)
    columns = st.columns(4)
    for index, (mistake, more) in enumerate(by_clip(evaluation.mistakes, dataset)[:8]):
        text = _words(mistake) + (f"; {more} more of this clip" if more else "")
        path = dataset.frame_path(mistake.file) if dataset else None
        if path:
            columns[index % 4].image(str(path), width="stretch")
        columns[index % 4].text(text if path else f"{mistake.file}: {text}")
