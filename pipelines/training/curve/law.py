"""How a curve goes on: errors fall as a power of the number of clips, down to what no clips of this kind would change.

Every such law that the measured points allow is weighed by how well it fits (Student's t, because clips are few), and its gain
is predicted, with what the very clips that are learnt from happen to be. The interval is of those predictions, so what the
points do not settle makes it wide.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pipelines.training.curve.measure import Measured
from pipelines.training.curve.pool import Rows

CONFIDENCE = 0.9
_POWERS = 0.6 * np.exp(0.5 * np.array([-1.73, -1.15, -0.81, -0.55, -0.32, -0.1, 0.1, 0.32, 0.55, 0.81, 1.15, 1.73]))
"""Exponents, as likely one as the other before anything is measured: twelve quantiles of a log-normal around 0.6."""
_RESTS = np.square((np.arange(12) + 0.5) / 12)
"""Shares of the error that no clips would change, as likely one as the other: small ones lie closer together."""
_DRAWN = 8000
_LAST = 3
_MISFIT = 0.01
"""Accuracy by which a true curve may lie beside its law; more so with a few clips, which say the least of many."""
_UNLIKE = 0.45
"""How far a gain may be from its law's beyond the sizes that were measured, as a share of it."""
_LUCK, _UNLUCKY = 0.45, 0.7
"""How much the choice of a class's clips changes its error, for the error that it has: at least so much.

Where the clips of a class happen to teach little, more are worth much; where they teach much, that is not lost by more.
"""
_LIKE = 0.8
"""How alike a clip's answers are at neighbouring sizes, for the clip that is supposed beside those that were measured."""


@dataclass(frozen=True)
class Point:
    """Accuracy with so many clips to learn from, and the interval's ends."""

    clips: float
    score: float
    low: float
    high: float


@dataclass(frozen=True)
class Predicted:
    """The measured points, and the gain from more clips: its median and the 90 % interval's ends."""

    points: tuple[Point, ...]
    gain: float
    low: float
    high: float


def predict(measured: Measured, now: float, more: int, seed: int = 0) -> Predicted:
    """What `more` clips are worth to who learns from `now`. Two sizes and two clips at least must have been measured."""
    random = np.random.default_rng(seed)
    mean, spread, freedom = summary(measured)
    sizes = np.array(measured.sizes, np.float64)
    gains, errors, scales = _laws(mean, spread, freedom, (sizes, now, more), random)
    usual = np.square(_LUCK * errors) / measured.classes
    chance = np.sqrt((usual + np.maximum(usual, luck(measured) / now)) / 2 * more / (now + more) + _MISFIT**2 / 4)
    beside, lucky = random.standard_normal((2, len(gains)))
    if measured.classes == 1:
        lucky = np.where(lucky < 0, lucky * _UNLUCKY, lucky)
    gains = np.minimum(gains * np.exp(_UNLIKE * beside) + chance * lucky, errors)
    low, middle, high = np.quantile(gains, [(1 - CONFIDENCE) / 2, 0.5, (1 + CONFIDENCE) / 2])
    mean = np.clip(mean, 0, 1)
    half = np.quantile(np.abs(scales * random.standard_normal(len(scales))), CONFIDENCE) * np.sqrt(np.diag(spread))
    points = tuple(
        Point(size, float(score), float(max(0.0, score - width)), float(min(1.0, score + width)))
        for size, score, width in zip(measured.sizes, mean, half, strict=True)
    )
    return Predicted(points, float(middle), float(low), float(high))


def summary(measured: Measured) -> tuple[Rows, Rows, int]:
    """The mean score at each size, how those vary with the clips that are scored (covariance), and the degrees of freedom.

    One clip more is supposed than there are, of which nothing is known: some clips that are all right leave room for others.
    """
    scored = measured.scored
    clips = np.nanmean(measured.scores[:, scored], axis=0)
    weights = measured.weights[scored] / measured.weights[scored].sum()
    mean = weights @ clips
    apart = clips - mean
    steps = np.abs(np.subtract.outer(np.arange(len(mean)), np.arange(len(mean))))
    supposed = 0.25 * _LIKE**steps * float(weights @ (1 / measured.kinds[scored]))
    effective = 1 / np.square(weights).sum()
    spread = np.einsum("u,ui,uj->ij", weights, apart, apart) / max(effective - 1, 0.5) + supposed / effective**2
    return mean, spread, max(1, round(effective) - 1)  # a clip of few images is little of a clip


def luck(measured: Measured) -> float:
    """How much the choice of the clips that are learnt from matters: the variance of the score, times their number.

    From nested sets: with the same clips scored, what a few more add differs from draw to draw. The clips of one draw share
    that, and their own noise not; where a draw scores a single clip, both are taken for luck.
    """
    inverse = 1 / np.array(measured.sizes, np.float64)
    steps = np.diff(measured.scores, axis=2)[:, :, -_LAST:] / np.sqrt(-np.diff(inverse))[-_LAST:]
    scored = ~np.isnan(steps[:, :, 0])
    steps = np.where(scored[:, :, None], steps, 0.0)
    steps -= scored[:, :, None] * (steps.sum(0) / np.maximum(scored.sum(0), 1)[:, None])
    weights = scored * measured.weights
    together = np.square(np.einsum("ru,ruj->rj", weights, steps))
    alone = np.einsum("ru,ruj->rj", np.square(weights), np.square(steps))
    pairs = np.square(weights.sum(1)) - np.square(weights).sum(1)
    if np.count_nonzero(pairs > 0) > 1:
        return max(0.0, float(((together - alone).sum(0) / pairs.sum()).mean()))
    return float((alone.sum(0) / np.square(weights).sum()).mean())


def _laws(
    mean: Rows, spread: Rows, freedom: int, at: tuple[Rows, float, int], random: np.random.Generator
) -> tuple[Rows, Rows, Rows]:
    """Gains by laws that fit, the errors before, and the scale that each was drawn with.

    A law is `error(n) = error(most) * (rest + (1 - rest) * (n / most) ** -power)`.
    """
    sizes, now, more = at
    ratios = np.array([*sizes, now, now + more]) / sizes[-1]
    power, rest = (part.ravel()[:, None] for part in np.meshgrid(_POWERS, _RESTS))
    shapes = rest + (1 - rest) * ratios**-power
    beside = _MISFIT * ratios[: len(sizes)] ** -1.5
    precision = np.linalg.inv(spread + np.diag(np.square(beside)))
    errors, shape = 1 - mean, shapes[:, : len(sizes)]
    variance = 1 / np.einsum("li,ij,lj->l", shape, precision, shape)
    best = variance * (shape @ precision @ errors)
    apart = errors - best[:, None] * shape
    misfit = np.einsum("li,ij,lj->l", apart, precision, apart)
    weights = np.sqrt(variance) * (1 + misfit / freedom) ** (-(freedom + len(sizes) - 1) / 2)
    law = random.choice(len(weights), _DRAWN, p=weights / weights.sum())
    scale = np.sqrt(freedom / random.chisquare(freedom, _DRAWN))
    error = np.minimum(np.abs(best[law] + scale * np.sqrt(variance[law]) * random.standard_normal(_DRAWN)), 1)
    before, after = (np.minimum(error * shapes[law, column], 1) for column in (-2, -1))
    return before - after, before, scale
