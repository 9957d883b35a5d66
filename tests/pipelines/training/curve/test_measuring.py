"""What is said of the classes of a data set, also of those of which nothing can be said."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))
from curve_worlds import World

from pipelines.training.curve.curve import Asked, check_labels, curves
from pipelines.training.curve.figure import curves_figure
from pipelines.training.curve.pool import Pool
from pipelines.training.curve.report import ClassCurve, Curves
from registry.errors import InputError
from registry.records import Gain


def quiet(what: str, done: int, total: int) -> None:
    assert done <= total, what


def lacking(clips: int, hard: float = 0.4) -> Pool:
    """Six clips of two classes in train and two in val; so many of the third in train."""
    rows, targets, numbers = World(3, hard).clips(8)
    kept = (targets < 2) | (numbers < clips * 3)
    labels = ["cup", "box", "tree"]
    return Pool(rows[kept], targets[kept], numbers[kept], labels, [6, 6, clips], frozenset(numbers[kept].tolist()))


@pytest.mark.parametrize(("clips", "why"), [(0, "has 0 clips"), (1, "has 1 clip in"), (2, "has 2 clips")])
def test_a_class_with_hardly_a_clip_cannot_be_measured_and_the_others_can(clips: int, why: str) -> None:
    overall, classes = curves(lacking(clips), Asked(), quiet)
    by_label = {curve.label: curve for curve in classes}
    assert by_label["tree"].gain is None
    assert why in str(by_label["tree"])
    assert "cannot be measured: 'tree'" in str(by_label["tree"])
    assert overall.gain is not None
    assert by_label["cup"].gain is not None
    assert by_label["cup"].scored == 8


def test_where_no_class_can_be_measured_neither_can_all_together() -> None:
    rows, targets, clips = World(3, 0.4).clips(2)
    pool = Pool(rows, targets, clips, ["cup", "box", "tree"], [1, 1, 1], frozenset(clips.tolist()))
    overall, classes = curves(pool, Asked(), quiet)
    assert [curve.gain for curve in (overall, *classes)] == [None] * 4


def test_a_split_that_came_with_the_pictures_needs_clips_in_val() -> None:
    pool = lacking(8)
    in_val = frozenset(clip for clip in np.unique(pool.clips).tolist() if clip >= 18 and clip % 3 < 2)
    _, classes = curves(replace(pool, scorable=in_val), Asked(), quiet)
    by_label = {curve.label: curve for curve in classes}
    assert "0 of them in val: 2 are needed there" in by_label["tree"].why
    assert by_label["cup"].scored > 0


def test_the_worst_classes_come_first_and_those_that_were_asked_for_alone() -> None:
    _, classes = curves(lacking(4, hard=0.8), Asked(), quiet)
    last = [curve.points[-1].accuracy for curve in classes]
    assert last[0] == min(last)
    _, chosen = curves(lacking(4), Asked(labels=["box"]), quiet)
    assert [curve.label for curve in chosen] == ["box"]
    with pytest.raises(InputError, match=r"class 'bix': is not in the data set; .* box"):
        check_labels(["bix"], ["cup", "box"])


def test_the_same_clips_give_the_same_answer() -> None:
    assert curves(lacking(4), Asked(), quiet) == curves(lacking(4), Asked(), quiet)


def test_a_class_that_is_always_right_has_little_to_gain_and_no_certainty() -> None:
    overall, classes = curves(lacking(8, hard=0.01), Asked(), quiet)
    for curve in (overall, *classes):
        assert curve.gain is not None
        assert curve.points[-1].accuracy == pytest.approx(1)
        assert curve.gain.low <= 0 < curve.gain.high < 0.2


def test_more_clips_are_worth_more() -> None:
    highs = [curves(lacking(8, hard=0.6), Asked(more=more), quiet)[0].gain for more in (1, 10, 1000)]
    gains = [(gain.low + gain.high) / 2 for gain in highs if gain is not None]
    assert gains == sorted(gains)
    assert gains[0] < gains[1] < gains[2] <= 1


def test_the_sentence() -> None:
    curve = ClassCurve(label="fist", clips=6, gain=Gain(clips=10, low=0.02, high=0.05))
    assert str(curve) == "10 more clips of 'fist' are worth +2 to +5 points (90 %)"
    one_more = ClassCurve(label="", clips=6, gain=Gain(clips=1, low=-0.004, high=0.05))
    assert str(one_more) == "1 more clip of every class is worth +0 to +5 points (90 %); it may be nothing"
    words = {
        ("fist",): "every class but 'fist', which has too few,",
        ("fist", "palm"): "every class but 'fist', 'palm', which have too few,",
        ("a", "b", "c", "d", "e"): "every class but 'a', 'b', 'c' and 2 others, which have too few,",
    }
    for without, text in words.items():
        assert str(one_more.model_copy(update={"without": without})).startswith(f"1 more clip of {text} is worth ")


def test_the_figure_has_a_part_for_each_curve_and_none_for_what_could_not_be_measured() -> None:
    overall, classes = curves(lacking(1), Asked(), quiet)
    figure = curves_figure(Curves(dataset="d", network="n", more=10, overall=overall, classes=classes))
    assert [axes.get_title() for axes in figure.axes if axes.lines] == ["all classes", *(c.label for c in classes if c.gain)]
