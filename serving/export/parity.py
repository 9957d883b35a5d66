"""Parity: how far each exported variant is from the trained model, from image files' bytes to probabilities."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from registry.errors import InputError
from registry.records import ParityFigures
from serving.bundle import Bundle
from serving.export.child import run_child
from serving.predictor import Predictor

Probabilities = NDArray[np.float32]
_TFJS_RUN = Path(__file__).with_name("tfjs_run.mjs")
_BATCH = 64


def onnx_answers(bundle: Bundle, images: Sequence[Path]) -> Probabilities:
    """The predictor's answers, the very code that serves."""
    predictor = Predictor(bundle)
    parts = [
        predictor.probabilities([image.read_bytes() for image in images[start : start + _BATCH]])
        for start in range(0, len(images), _BATCH)
    ]
    return np.concatenate(parts)


def tfjs_answers(node: str, modules: Path, model: Path, size: int, images: Sequence[Path]) -> Probabilities:
    """TensorFlow.js's answers, on the wasm backend in Node."""
    job = {
        "modules": str(modules.absolute()),
        "model": str(model.absolute()),
        "size": size,
        "images": [str(image.absolute()) for image in images],
    }
    return np.asarray(run_child([node, _TFJS_RUN], job, f"TF.js {model.name}")["probabilities"], np.float32)


def compare(variant: str, trained: Probabilities, exported: Probabilities) -> ParityFigures:
    """Figures of one variant; both arrays are `[N, classes]` over the same images in the same order.

    The control pairs each image's trained answer with the exported answer for an image on which the trained model
    says something else, so a model that is measured rightly disagrees on it. Raises InputError where the trained model
    says the same of every image: then no measurement can tell a good export from a broken one.
    """
    wrong = _wrong_images(trained)
    return ParityFigures(
        variant=variant,
        images=len(trained),
        top1_agreement=_agreement(trained, exported),
        max_abs_diff=_largest(trained, exported),
        mean_abs_diff=float(np.abs(trained - exported).mean()),
        control_agreement=_agreement(trained, exported[wrong]),
        control_max_abs_diff=_largest(trained, exported[wrong]),
    )


def _agreement(one: Probabilities, other: Probabilities) -> float:
    """The share of rows whose best class is the same; a row that is not finite agrees with nothing."""
    finite = np.isfinite(one).all(axis=1) & np.isfinite(other).all(axis=1)
    return float(((one.argmax(axis=1) == other.argmax(axis=1)) & finite).mean())


def _largest(one: Probabilities, other: Probabilities) -> float:
    """The largest absolute difference; infinite where something is not finite."""
    largest = float(np.abs(one - other).max())
    return largest if np.isfinite(largest) else float("inf")


def _wrong_images(trained: Probabilities) -> NDArray[np.int_]:
    """For each image, the next one in a fixed shuffle of which the trained model says another class."""
    guesses = trained.argmax(axis=1)
    if len(set(guesses.tolist())) == 1:
        raise InputError("parity", "the trained model says the same of every image", "train it until it tells classes apart")
    order = np.random.default_rng(0).permutation(len(guesses))
    wrong = np.empty(len(guesses), int)
    for place, image in enumerate(order):
        later = (order[(place + step) % len(order)] for step in range(1, len(order)))
        wrong[image] = next(other for other in later if guesses[other] != guesses[image])
    return wrong
