"""A version in production, tried on the page: a test image, or an own one, and what its endpoint answers."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import streamlit as st

from dashboards.charts import class_bars
from dashboards.endpoints.ask import MOST_BYTES, Asked, ask, drawn
from dashboards.mistakes import local_dataset
from dashboards.overview import Served
from dashboards.words import cell, escaped, message
from registry.errors import ModelyardError
from registry.settings import Settings
from serving.series.polling import is_on_this_machine

_MOST_IMAGES, _MOST_CLASSES = 12, 5
_NONE = "none"


def show_try_it(settings: Settings, served: Served) -> None:
    """A form below a version whose endpoint is a process of this machine; nothing for others."""
    if not is_on_this_machine(served.place, served.url):
        return
    with st.expander("Try it"), st.form(f"try {served.model}", border=False):
        images = _test_images(settings, served)
        named = {f"{number}: {cell(label)}": path for number, (path, label) in enumerate(images, 1)}
        chosen = st.selectbox("Test image, by its class", [_NONE, *named], key=f"test image {served.model}")
        upload = st.file_uploader(
            "Or your own image",
            ["jpg", "jpeg", "png", "webp"],
            key=f"own image {served.model}",
            max_upload_size=MOST_BYTES // 1_000_000,
        )
        if not st.form_submit_button("Predict"):
            return
        image = upload.getvalue() if upload else named[chosen].read_bytes() if chosen in named else None
        if image is None:
            st.info("Choose a test image or an own one.")
            return
        try:
            _show(image, ask(served.url, image, settings.endpoint_headers))
        except ModelyardError as error:
            st.error(message(error))


def _test_images(settings: Settings, served: Served) -> list[tuple[Path, str]]:
    """Images of the test split that the version was scored on, each of another clip, where they are on this machine."""
    dataset = local_dataset(settings.datasets.absolute(), served.evaluation.dataset) if served.evaluation else None
    return dataset.examples("test", None, _MOST_IMAGES) if dataset else []


def _show(image: bytes, asked: Asked) -> None:
    left, right = st.columns([1, 2])
    if (picture := drawn(image, asked)) is not None:
        left.image(picture, width="stretch")
    right.markdown(f"**{escaped(asked.label)}**")
    rows = [(cell(name), value) for name, value in asked.probabilities[:_MOST_CLASSES]]
    right.altair_chart(class_bars(pd.DataFrame(rows, columns=["class", "probability"])), width="stretch")
    right.caption(f"Answered in {asked.milliseconds:.0f} ms.")
