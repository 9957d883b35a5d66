"""Figures of any number of classes of any name: drawn in seconds, in bounded memory, without a word."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.figure import Figure

from pipelines.evaluation.plots import confusion_figure, curves_figure

sys.path.insert(0, str(Path(__file__).parents[2]))
from cputime import cpu_seconds


@settings(max_examples=12)
@given(st.lists(st.text(min_size=1, max_size=300), min_size=1, max_size=6))
@pytest.mark.filterwarnings("ignore:Glyph")
def test_a_class_of_any_name_is_drawn(labels: list[str]) -> None:
    figure = confusion_figure(np.eye(len(labels), dtype=int).tolist(), labels, "test split")
    figure.savefig(io.BytesIO(), format="png")


@pytest.mark.parametrize("name", ["$1_$2", r"$\frac{", "$$", r"a\$b$", "a\nb", "x" * 255])
def test_a_name_that_is_half_a_formula_is_text(name: str) -> None:
    figure = confusion_figure([[1, 0], [0, 1]], [name, "b"], "test split")
    figure.savefig(io.BytesIO(), format="png")
    shown = [label.get_text() for label in figure.axes[0].get_xticklabels()]
    assert shown[0].rstrip("…") == name.replace("\n", " ")[: len(shown[0].rstrip("…"))]


@pytest.mark.parametrize("classes", [31, 200, 401, 2000])
def test_many_classes_are_colours_in_a_figure_of_bounded_size(classes: int) -> None:
    counts = np.eye(classes, dtype=int) * 3
    counts[0, -1] = 7
    drawn = list[Figure]()

    def draw() -> None:
        drawn.append(confusion_figure(counts.tolist(), [f"class {index}" for index in range(classes)], "test split"))
        drawn[0].savefig(io.BytesIO(), format="png")

    assert cpu_seconds(draw, repeats=1) < 10
    (figure,) = drawn
    (axes,) = figure.axes
    assert len(axes.texts) == 0
    assert max(axes.images[0].get_array().shape) <= 400
    assert len(axes.get_xticklabels()) <= 30
    assert figure.get_size_inches().max() < 20
    cells = axes.images[0].get_array()
    assert cells[0].argmax() == len(cells) - 1 or classes > 400, "what is confused is seen"


def test_few_classes_have_their_counts() -> None:
    figure = confusion_figure([[5, 1], [0, 9]], ["cat", "dog"], "test split")
    assert sorted(text.get_text() for text in figure.axes[0].texts) == ["1", "5", "9"]


def test_a_curve_without_validation_has_no_legend_to_warn_of() -> None:
    figure = curves_figure([{"train_loss": 1.0}])
    figure.savefig(io.BytesIO(), format="png")
