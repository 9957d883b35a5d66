"""The calibration error is what its definition says, and the temperature undoes what made a model too sure of itself."""

from __future__ import annotations

import numpy as np
import pytest

from pipelines.evaluation.calibration import calibrate, expected_calibration_error, fit_temperature, scaled
from pipelines.evaluation.scores import HeldOutSet


def drawn(images: int, too_sure: float, seed: int = 0, classes: int = 4) -> tuple[np.ndarray, HeldOutSet]:
    """Probabilities whose logits were multiplied after the truth was drawn from them."""
    random = np.random.default_rng(seed)
    honest = random.dirichlet(np.full(classes, 0.7), images)
    targets = [int(random.choice(classes, p=row)) for row in honest]
    sharp = honest**too_sure
    held = HeldOutSet([f"c{index}" for index in range(classes)], targets, [f"clip{index}" for index in range(images)])
    return (sharp / sharp.sum(axis=1, keepdims=True)).astype(np.float32), held


def test_the_error_is_the_weighted_distance_between_what_is_said_and_what_is_so() -> None:
    probabilities = np.asarray([[0.9, 0.1], [0.9, 0.1], [0.6, 0.4], [0.6, 0.4]], np.float32)
    ece, bins = expected_calibration_error(probabilities, np.asarray([0, 1, 0, 0]))
    assert ece == pytest.approx(0.5 * abs(0.9 - 0.5) + 0.5 * abs(0.6 - 1.0))
    assert [(part.images, part.right) for part in bins] == [(2, 1.0), (2, 0.5)]


@pytest.mark.parametrize("too_sure", [0.5, 1.0, 2.0, 4.0])
def test_a_temperature_takes_back_what_the_logits_were_multiplied_by(too_sure: float) -> None:
    val, test = drawn(1500, too_sure, seed=1), drawn(1500, too_sure, seed=2)
    measured = calibrate(*test, val, "val")
    assert measured.temperature == pytest.approx(too_sure, rel=0.15)
    assert measured.ece_scaled is not None
    assert measured.ece_scaled < 0.05
    assert (measured.ece > 0.08) == (too_sure in {0.5, 2.0, 4.0}), "a model that is right about itself has little to correct"
    assert (scaled(test[0], too_sure).argmax(1) == test[0].argmax(1)).all(), "no answer changes"


def test_a_few_clips_without_a_mistake_do_not_make_the_model_certain() -> None:
    """Maximum likelihood would go to temperature 0 there."""
    probabilities = np.tile(np.asarray([[0.9, 0.1]], np.float32), (40, 1))
    three = HeldOutSet(["a", "b"], [0] * 40, [f"clip{index % 3}" for index in range(40)])
    assert 0.4 < fit_temperature(probabilities, three) < 1.1


def test_without_another_split_there_is_an_error_and_no_temperature() -> None:
    measured = calibrate(*drawn(200, 2.0), None, "val")
    assert measured.ece > 0
    assert (measured.temperature, measured.ece_scaled, measured.split) == (None, None, "")


def test_an_answer_that_is_no_number_is_a_wrong_one_that_was_certain() -> None:
    probabilities = np.full((4, 2), np.nan, np.float32)
    held = HeldOutSet(["a", "b"], [0, 0, 1, 1], list("wxyz"))
    measured = calibrate(probabilities, held, (probabilities, held), "val")
    assert (measured.ece, measured.ece_scaled, measured.temperature) == (1.0, 1.0, 1.0)
