"""Whether a classifier's probabilities can be taken at their word: the calibration error, and the temperature that lowers it.

The temperature is reported and not built into the model. It changes no answer, only how sure one sounds; the bytes that were
trained stay those that are judged, exported and compared. A client that wants calibrated probabilities takes each to the power
of 1 / temperature and divides by their sum (`scaled`).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pipelines.evaluation.scores import HeldOutSet, Probabilities
from registry.records import Calibration, ReliabilityBin

_BINS = 15
_LEAST_TEMPERATURE, _MOST_TEMPERATURE = 0.05, 20.0
_TINY = 1e-12


def calibrate(
    probabilities: Probabilities, held: HeldOutSet, other: tuple[Probabilities, HeldOutSet] | None, split: str
) -> Calibration:
    """The calibration error of `[N, classes]` probabilities; with it after scaling by a temperature fitted on other images.

    `other` are the answers and truth of `split`, which training did not fit; None where there is none.
    """
    ece, bins = expected_calibration_error(probabilities, held.targets)
    if other is None:
        return Calibration(ece=ece, bins=bins)
    temperature = fit_temperature(*other)
    return Calibration(
        ece=ece,
        bins=bins,
        split=split,
        images=len(other[1].targets),
        clips=len(set(other[1].clips)),
        temperature=temperature,
        ece_scaled=expected_calibration_error(scaled(probabilities, temperature), held.targets)[0],
    )


def expected_calibration_error(
    probabilities: Probabilities | NDArray[np.float64], targets: NDArray[np.int_]
) -> tuple[float, list[ReliabilityBin]]:
    """The error over 15 bins of equal width, and the bins that have images. A row with a NaN is wrong, and sure of it."""
    finite = np.isfinite(probabilities).all(axis=1)
    known = np.nan_to_num(np.asarray(probabilities, np.float64), nan=0.0, posinf=0.0, neginf=0.0)
    sure = np.where(finite, known.max(axis=1).clip(0, 1), 1.0)
    right = (known.argmax(axis=1) == targets) & finite
    member = np.minimum((sure * _BINS).astype(int), _BINS - 1)
    bins = [
        ReliabilityBin(
            probability=float(sure[member == index].mean()),
            right=float(right[member == index].mean()),
            images=int((member == index).sum()),
        )
        for index in np.unique(member)
    ]
    return sum(abs(part.probability - part.right) * part.images for part in bins) / len(targets), bins


def scaled(probabilities: Probabilities, temperature: float) -> NDArray[np.float64]:
    """Probabilities as they are with their logits divided by a temperature; a row with a NaN stays one."""
    logits = np.log(np.maximum(np.asarray(probabilities, np.float64), _TINY)) / temperature
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def fit_temperature(probabilities: Probabilities, held: HeldOutSet) -> float:
    """The temperature that makes the true classes most likely.

    Each clip counts as one observation, and log temperature is normal around 0 with a deviation of 1 beforehand. So a few
    clips that are all answered correctly do not drive it to 0, as maximum likelihood would; with many clips that is the same.
    """
    from scipy.optimize import minimize_scalar  # pyright: ignore[reportMissingTypeStubs, reportUnknownVariableType]

    finite = np.isfinite(probabilities).all(axis=1)
    if not finite.any():
        return 1.0
    logits = np.log(np.maximum(np.asarray(probabilities, np.float64)[finite], _TINY))
    _, member, sizes = np.unique(np.asarray(held.clips)[finite], return_inverse=True, return_counts=True)
    targets, weights = held.targets[finite], 1 / sizes[member]

    def loss(log_temperature: float) -> float:
        cool = logits / np.exp(log_temperature)
        peak = cool.max(axis=1)
        wrong = peak + np.log(np.exp(cool - peak[:, None]).sum(axis=1)) - cool[np.arange(len(cool)), targets]
        return float((wrong * weights).sum() + log_temperature**2 / 2)

    bounds = (np.log(_LEAST_TEMPERATURE), np.log(_MOST_TEMPERATURE))
    best = minimize_scalar(loss, bounds=bounds, method="bounded", options={"xatol": 1e-4})
    return float(np.exp(best.x))
