"""Parity notices an export that is wrong, and a measurement that could not notice."""

from __future__ import annotations

import numpy as np
import pytest

from registry.errors import InputError
from registry.records import Limits
from serving.bundle.variants import variant_spec
from serving.export.parity import compare, failed, judge


def rows(count: int = 60, classes: int = 4) -> np.ndarray:
    random = np.random.default_rng(0)
    return random.dirichlet(np.full(classes, 0.3), count).astype(np.float32)


def test_the_same_answers_agree_and_the_wrong_images_do_not() -> None:
    figures = compare("onnx", rows(), rows())
    assert figures.top1_agreement == 1.0
    assert figures.max_abs_diff == 0.0
    assert figures.control_agreement == 0.0
    assert figures.control_max_abs_diff > 0.5


def test_a_transposed_export_is_noticed() -> None:
    assert compare("onnx", rows(), rows()[:, ::-1]).top1_agreement < 0.6


def test_one_image_that_differs_is_noticed() -> None:
    off = rows()
    off[7] = off[7][::-1]
    figures = compare("onnx", rows(), off)
    assert figures.top1_agreement < 1.0 or figures.max_abs_diff > 0.01


def test_nan_agrees_with_nothing() -> None:
    off = rows()
    off[3] = np.nan
    figures = compare("onnx", rows(), off)
    assert figures.top1_agreement == pytest.approx(59 / 60)
    assert figures.max_abs_diff == 1.0


def test_an_export_that_answers_the_same_always_fails_agreement() -> None:
    constant = np.tile(rows()[0], (60, 1))
    assert compare("onnx", rows(), constant).top1_agreement < 0.6


def test_a_model_that_says_one_thing_of_everything_cannot_be_measured() -> None:
    constant = np.tile(np.float32([0.9, 0.1]), (10, 1))
    with pytest.raises(InputError, match="same of every image"):
        compare("onnx", constant, constant)


def test_limits_decide_what_stays_and_say_why() -> None:
    near, far = compare("tfjs-uint8", rows(), rows() + 0.05), compare("tfjs-uint8", rows(), rows() + 0.2)
    assert judge(near, variant_spec("tfjs-uint8")).kept
    left = judge(far, variant_spec("tfjs-uint8", required=False))
    assert not left.kept
    assert not left.required
    assert left.note == "largest difference 0.2 is above 0.1"
    assert judge(far, variant_spec("tfjs-uint8", Limits(max_abs_diff=0.3))).kept


def test_what_could_not_be_made_agrees_with_nothing() -> None:
    figures = failed(variant_spec("tfjs-uint8", required=False), 200, "TF.js: has no operation Erf")
    assert (figures.kept, figures.top1_agreement, figures.max_abs_diff) == (False, 0.0, 1.0)
    assert "Erf" in figures.note


def test_a_variant_that_wrong_images_pass_as_well_is_left_out() -> None:
    trained = np.tile(np.float32([0.9, 0.1]), (200, 1))
    trained[7] = [0.1, 0.9]
    constant = np.tile(np.float32([0.9, 0.1]), (200, 1))
    figures = judge(
        compare("onnx-int8", trained, constant), variant_spec("onnx-int8", Limits(top1_agreement=0.97, max_abs_diff=1))
    )
    assert not figures.kept
    assert "a wrong image agrees as well" in figures.note
