"""How far a classifier's probabilities carry: precision against recall, and probability against how often it is right."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure

from registry.errors import shorten

if TYPE_CHECKING:
    from pipelines.evaluation.answers import ScoredSplit

_MOST_CURVES, _LONGEST_NAME, _BINS = 8, 24, 15


def precision_recall_figure(scored: ScoredSplit, title: str) -> Figure:
    """Each class against the rest, those with the lowest average precision first: eight at most; and all classes together."""
    from sklearn.metrics import average_precision_score, precision_recall_curve

    probabilities = np.nan_to_num(np.asarray(scored.probabilities, np.float64), nan=0.0, posinf=0.0, neginf=0.0)
    member = scored.targets[:, None] == np.arange(len(scored.labels))
    known = [index for index in range(len(scored.labels)) if member[:, index].any()]
    precision_of = {index: float(average_precision_score(member[:, index], probabilities[:, index])) for index in known}
    figure = Figure(figsize=(6.4, 4.8), layout="constrained")
    axes = figure.subplots()
    for index in sorted(known, key=lambda index: precision_of[index])[:_MOST_CURVES]:
        precision, recall, _ = precision_recall_curve(member[:, index], probabilities[:, index], drop_intermediate=True)
        name = "".join(letter if letter.isprintable() else " " for letter in scored.labels[index]).replace("$", r"\$")
        label = f" {shorten(name, _LONGEST_NAME)} (AP {precision_of[index]:.3f})"  # a label that begins with _ is not shown
        axes.plot(recall, precision, drawstyle="steps-post", linewidth=1.2, label=label)
    precision, recall, _ = precision_recall_curve(member.ravel(), probabilities.ravel(), drop_intermediate=True)
    mean = sum(precision_of.values()) / len(precision_of)
    axes.plot(recall, precision, color="black", linewidth=2, label=f"all {len(known)} classes (mean AP {mean:.3f})")
    axes.set(title=title, xlabel="recall", ylabel="precision", xlim=(0, 1.02), ylim=(0, 1.02))
    axes.grid(alpha=0.3)
    axes.legend(loc="lower left", fontsize="small")
    return figure


def reliability_figure(scored: ScoredSplit, title: str) -> Figure:
    """The probability of an answer across, how often such answers are right up: on the line they can be taken at their word.

    Below is how many images got which probability. The bins are those of the expected calibration error: 15 of equal width.
    """
    bins = np.minimum((np.clip(scored.sure, 0, 1) * _BINS).astype(int), _BINS - 1)
    counts = np.bincount(bins, minlength=_BINS)
    held = counts > 0
    sure = np.bincount(bins, scored.sure, _BINS)[held] / counts[held]
    right = np.bincount(bins, scored.right, _BINS)[held] / counts[held]
    error = float((np.abs(sure - right) * counts[held]).sum() / counts.sum())
    figure = Figure(figsize=(5.2, 5.2), layout="constrained")
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    upper.plot([0, 1], [0, 1], color="0.7", linewidth=0.8)
    upper.plot(sure, right, marker="o", markersize=4, label=f"expected calibration error {error:.3f}")
    upper.set(title=title, ylabel="share that is right", xlim=(0, 1), ylim=(-0.02, 1.02))
    upper.grid(alpha=0.3)
    upper.legend(loc="upper left", fontsize="small")
    lower.bar((np.arange(_BINS) + 0.5) / _BINS, counts, width=0.9 / _BINS, color="0.6")
    lower.set(xlabel="probability of the answer", ylabel="images")
    return figure
