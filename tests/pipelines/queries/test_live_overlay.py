"""What is drawn into a frame can be read: on light and dark pictures, in any script, at any size."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from pipelines.queries.live import overlay as module
from pipelines.queries.live.lettering import Lettering
from pipelines.queries.live.overlay import Overlay
from pipelines.queries.live.records import FrameAnswer

LABELS = ("fist", "кулак", "手")


def answer(**changed: object) -> FrameAnswer:
    shares = dict(zip(LABELS, (0.7, 0.2, 0.1), strict=True))
    facts = {"label": "fist", "probability": 0.7, "probabilities": shares, "unsure": False, "latency_ms": 4.2}
    return FrameAnswer.model_validate({"image": "a", "frame": 0, "seconds": 0.0, **facts, **changed})


def box(label: str, score: float, *sides: float) -> dict[str, object]:
    return {"label": label, "score": score, "box": list(sides)}


def light(colour: tuple[int, ...]) -> float:
    """Relative luminance, as WCAG defines it."""
    linear = [level / 12.92 if level <= 0.04045 else ((level + 0.055) / 1.055) ** 2.4 for level in (c / 255 for c in colour)]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(first: tuple[int, ...], second: tuple[int, ...]) -> float:
    high, low = sorted((light(first), light(second)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def test_text_stands_out_from_every_label_s_colour() -> None:
    assert all(contrast(module._text_on(colour), colour) >= 4.5 for colour in module._COLOURS)
    assert any(contrast((255, 255, 255), colour) < 4.5 for colour in module._COLOURS)  # one colour for all would not do


@pytest.mark.parametrize("ground", ["white", "black", "yellow"])
def test_text_stands_out_from_light_and_dark_pictures(ground: str) -> None:
    picture = Image.new("RGB", (640, 480), ground)
    drawn = np.asarray(Overlay(LABELS).draw(picture, answer(unsure=True), 30.0))
    for rows in (slice(0, 24), slice(400, 480)):
        area = drawn[rows, :150].reshape(-1, 3)
        brightest, ground_now = area[area.sum(axis=1).argmax()], np.median(area, axis=0)
        assert contrast(tuple(brightest), tuple(ground_now)) >= 4.5


def test_the_most_probable_class_has_the_longest_bar_and_the_picture_given_stays() -> None:
    picture = Image.new("RGB", (640, 480), "black")
    drawn = np.asarray(Overlay(LABELS).draw(picture, answer(), 30.0))
    lengths = [int((np.abs(drawn.astype(int) - colour).sum(axis=2) < 6).sum()) for colour in module._COLOURS[:3]]
    assert lengths[0] > 2 * lengths[1] > 3 * lengths[2] > 0
    assert not np.asarray(picture).any()


def test_boxes_are_where_they_were_detected_in_their_class_s_colour() -> None:
    picture, found_box = Image.new("RGB", (320, 240), "grey"), box("кулак", 0.5, 100, 80, 200, 160)
    drawn = np.asarray(Overlay(LABELS).draw(picture, answer(boxes=[found_box]), 30.0))
    for x, y in ((100, 120), (200, 120), (150, 80), (150, 160)):
        assert tuple(drawn[y, x]) == module._COLOURS[1]
    assert tuple(drawn[120, 150]) == (128, 128, 128)
    nothing = np.asarray(Overlay(LABELS).draw(picture, answer(boxes=[], label="nothing"), 30.0))
    assert (nothing[-20:, :60] != 128).any()


texts = st.text(st.characters(codec=None, exclude_categories=()), max_size=40)


@given(label=texts, size=st.tuples(st.integers(1, 300), st.integers(1, 200)), sides=st.lists(st.floats(-1e4, 1e4), min_size=4, max_size=4))  # fmt: skip
@settings(max_examples=60, deadline=None)
def test_any_label_in_a_frame_of_any_size_is_drawn(label: str, size: tuple[int, int], sides: list[float]) -> None:
    picture, overlay = Image.new("RGB", size, "white"), Overlay([label])
    classified = answer(label="x", probabilities={label: 1.0}, unsure=True, could_be=None)
    for shown in (classified, answer(boxes=[box(label, 0.5, *sides)])):
        assert overlay.draw(picture, shown, 30.0).size == size


@given(text=texts, width=st.integers(0, 300))
@settings(max_examples=60, deadline=None)
def test_a_text_is_cut_to_the_width_that_it_has(text: str, width: int) -> None:
    letters = Lettering(15)
    assert letters.length(letters.fitted(text, width)) <= width


def test_letters_that_no_font_has_are_written_as_their_numbers() -> None:
    assert Lettering(15).drawable("кулак é שלום") == "кулак é שלום"
    assert Lettering(15).drawable("手\n\ud800") == "\\u624b\\n\\ud800"
