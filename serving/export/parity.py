"""Parity: how far each exported variant is from the trained model, from image files' bytes to the answer."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from registry.errors import InputError
from registry.records import ParityFigures
from serving.bundle.variants import VariantSpec
from serving.export.detections import compare_detections
from serving.export.reference import Answers

_CONTROL = 0.9
"""A measurement that wrong images also pass could not detect a broken export."""


def compare(variant: str, trained: Answers, exported: Answers, least: float = 0.25) -> ParityFigures:
    """Figures of one variant; both arrays are over the same images in the same order.

    `[N, classes]` are a classifier's probabilities, `[N, most, 6]` a detector's boxes. The control pairs each image's
    trained answer with the exported answer for an image on which the trained model says something else, so a model
    that is measured rightly disagrees on it. Raises InputError where the trained model says the same of every image:
    then no measurement can tell a good export from a broken one.
    """
    if trained.ndim > 2:  # noqa: PLR2004 boxes have one more dimension than probabilities
        return compare_detections(variant, trained, exported, least)
    wrong = _wrong_images(trained)
    return ParityFigures(
        variant=variant,
        images=len(trained),
        top1_agreement=_agreement(trained, exported),
        max_abs_diff=_largest(trained, exported),
        mean_abs_diff=float(np.nan_to_num(np.abs(trained - exported), nan=1.0, posinf=1.0).mean()),
        control_agreement=_agreement(trained, exported[wrong]),
        control_max_abs_diff=_largest(trained, exported[wrong]),
    )


def worst(measured: Sequence[ParityFigures]) -> ParityFigures:
    """The worst of several measurements of one variant: of each figure, and of the control too."""
    low = ("top1_agreement",)
    high = ("max_abs_diff", "mean_abs_diff", "control_agreement")
    figures = {name: min(getattr(each, name) for each in measured) for name in low}
    figures |= {name: max(getattr(each, name) for each in measured) for name in high}
    return measured[0].model_copy(
        update=figures | {"control_max_abs_diff": min(each.control_max_abs_diff for each in measured)}
    )


def judge(figures: ParityFigures, wanted: VariantSpec) -> ParityFigures:
    """The figures with the variant's limits, and whether it may stay in the bundle.

    Of a detector the mean difference is judged: a single box comes and goes with a single grey level.
    """
    limits, words = wanted.limits, list[str]()
    difference = figures.max_abs_diff if figures.map_difference is None else figures.mean_abs_diff
    which = "largest" if figures.map_difference is None else "mean"
    if figures.top1_agreement < limits.top1_agreement:
        words.append(f"agreement {figures.top1_agreement:.3f} is below {limits.top1_agreement:g}")
    if difference > limits.max_abs_diff:
        words.append(f"{which} difference {difference:.3g} is above {limits.max_abs_diff:g}")
    if figures.control_agreement > _CONTROL:
        words.append(f"a wrong image agrees as well ({figures.control_agreement:.3f}), so nothing was measured")
    if (figures.map_difference or 0.0) > limits.map_difference:
        words.append(f"mAP difference {figures.map_difference:.3g} is above {limits.map_difference:g}")
    verdict = {"limits": limits, "required": wanted.required, "kept": not words, "note": "; ".join(words)}
    return figures.model_copy(update=verdict)


def failed(wanted: VariantSpec, images: int, why: str) -> ParityFigures:
    """The figures of a variant that was not required and could not be made: nothing agrees."""
    return ParityFigures(
        variant=wanted.variant.name,
        images=images,
        top1_agreement=0.0,
        max_abs_diff=1.0,
        mean_abs_diff=1.0,
        control_agreement=0.0,
        control_max_abs_diff=1.0,
        limits=wanted.limits,
        required=wanted.required,
        kept=False,
        made=False,
        note=why,
    )


def pack(rows: Sequence[Sequence[Sequence[float]]] | Sequence[Sequence[float]], most: int | None) -> Answers:
    """Answers from a runtime's JSON: probabilities, or for each image its detections, filled up to `most` rows of zeros."""
    if most is None:
        return np.asarray(rows, np.float32)
    answers = np.zeros((len(rows), most, 6), np.float32)
    for index, boxes in enumerate(rows):
        if boxes:
            answers[index, : len(boxes)] = boxes
    return answers


def _agreement(trained: Answers, exported: Answers) -> float:
    """The share of rows whose best class is the same; a row that is not finite agrees with nothing."""
    finite = np.isfinite(trained).all(axis=1) & np.isfinite(exported).all(axis=1)
    return float(((trained.argmax(axis=1) == exported.argmax(axis=1)) & finite).mean())


def _largest(trained: Answers, exported: Answers) -> float:
    """The largest absolute difference; what is not finite differs by 1, as far as probabilities can."""
    return float(np.nan_to_num(np.abs(trained - exported), nan=1.0, posinf=1.0).max())


def _wrong_images(trained: Answers) -> NDArray[np.int_]:
    """For each image, the next one in a fixed shuffle of which the trained model says another class."""
    guesses = trained.argmax(axis=1)
    if len(set(guesses.tolist())) == 1:
        raise InputError("parity", "the trained model says the same of every image", "train it until it tells classes apart")
    order = np.random.default_rng(0).permutation(len(guesses))
    wrong = np.empty(len(guesses), int)
    for index, image in enumerate(order):
        later = (order[(index + step) % len(order)] for step in range(1, len(order)))
        wrong[image] = next(other for other in later if guesses[other] != guesses[image])
    return wrong
