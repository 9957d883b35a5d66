"""What is predicted comes true as often as the interval says: in worlds whose truth is known, and not with a tenth of it."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))
from curve_worlds import World

from pipelines.training.curve.law import Predicted, predict
from pipelines.training.curve.measure import measure
from pipelines.training.curve.pool import draws

Case = tuple[float, Predicted]


@pytest.fixture(scope="module")
def cases() -> list[Case]:
    """Measured gains and predictions: few and more clips, easy and hard classes, one class and all together."""
    made = list[Case]()
    for seed in range(30):
        trained, more = ((4, 8), (6, 3), (9, 9))[seed % 3]
        world = World(seed, hard=(0.15, 0.25, 0.35)[seed // 10])
        pool = world.pool(trained, max(1, trained // 4))
        drawn = draws(pool, 12, seed)
        for label in (None, seed % 3):
            predicted = predict(measure(pool, drawn, label), trained, more, seed)
            made.append((world.gain(trained, more, label), predicted))
    return made


def test_the_interval_covers_what_is_measured_in_nine_of_ten_worlds(cases: list[Case]) -> None:
    assert np.mean([predicted.low <= gain <= predicted.high for gain, predicted in cases]) >= 0.9


def test_an_interval_shrunk_to_a_tenth_does_not(cases: list[Case]) -> None:
    covered = [
        predicted.gain - (predicted.gain - predicted.low) / 10
        <= gain
        <= predicted.gain + (predicted.high - predicted.gain) / 10
        for gain, predicted in cases
    ]
    assert np.mean(covered) < 0.6


def test_the_prediction_is_better_than_that_nothing_changes(cases: list[Case]) -> None:
    missed = np.array([predicted.gain - gain for gain, predicted in cases])
    assert np.square(missed).mean() < np.square([gain for gain, _ in cases]).mean()


def test_more_clips_that_were_measured_make_the_interval_narrower() -> None:
    widths = []
    for trained in (4, 24):
        pool = World(1, hard=0.3).pool(trained, trained // 4)
        predicted = predict(measure(pool, draws(pool, 12, 0), None), trained, 4)
        widths.append(predicted.high - predicted.low)
    assert widths[1] < widths[0] / 2
