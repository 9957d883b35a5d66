"""The pictures that go with a run, as Matplotlib figures. No global state, no window."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

if TYPE_CHECKING:
    from serving.export.request import Measured


def curves_figure(history: Sequence[Mapping[str, float]]) -> Figure:
    """Loss and top-1 by epoch; `history` has one mapping an epoch."""
    figure = Figure(figsize=(8, 3.2), layout="constrained")
    losses, scores = figure.subplots(1, 2)
    epochs = range(1, len(history) + 1)
    for axes, names, title in ((losses, ("train_loss", "val_loss"), "loss"), (scores, ("val_top1",), "top-1")):
        for name in names:
            if all(name in epoch for epoch in history):
                axes.plot(epochs, [epoch[name] for epoch in history], marker="o", markersize=3, label=name)
        axes.set(title=title, xlabel="epoch")
        axes.grid(alpha=0.3)
        if axes.lines:
            axes.legend()
    return figure


def confusion_figure(confusion: Sequence[Sequence[int]], labels: Sequence[str], title: str) -> Figure:
    """Counts, true class down, guessed class across."""
    side = max(4.0, 0.55 * len(labels))
    figure = Figure(figsize=(side + 0.6, side), layout="constrained")
    axes = figure.subplots()
    axes.imshow(confusion, cmap="Blues")
    axes.set(title=title, xlabel="guessed", ylabel="true")
    axes.set_xticks(range(len(labels)), labels, rotation=0 if max(map(len, labels)) == 1 else 45)
    axes.set_yticks(range(len(labels)), labels)
    darkest = max((max(row) for row in confusion), default=0)
    for down, row in enumerate(confusion):
        for across, count in enumerate(row):
            if count:
                axes.text(across, down, str(count), ha="center", va="center", color="white" if count > darkest / 2 else "black")
    return figure


def parity_figure(measured: Measured) -> Figure:
    """The trained model's best score of each image across, each variant's for the same class up: on the line is alike."""
    names = sorted(measured.answers)
    columns = min(4, max(1, len(names)))
    rows = -(-len(names) // columns)
    figure = Figure(figsize=(3.0 * columns, 3.1 * rows), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True).flat
    for axis, name in zip(axes, names, strict=False):
        trained, exported = paired_scores(measured.trained, measured.answers[name])
        axis.plot([0, 1], [0, 1], color="0.7", linewidth=0.8)
        axis.scatter(trained, exported, s=8, alpha=0.5)
        axis.set(title=name, xlabel="trained", ylabel="exported", xlim=(-0.03, 1.03), ylim=(-0.03, 1.03))
    for axis in list(axes)[len(names) :]:
        axis.set_visible(False)
    return figure


def paired_scores(trained: NDArray[np.float32], exported: NDArray[np.float32]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Per image: the trained model's best probability and the export's for that class; a detector's are the best boxes'."""
    if trained.ndim > 2:  # noqa: PLR2004 boxes have one more dimension than probabilities
        return trained[:, 0, 4], exported[:, 0, 4]
    best = trained.argmax(axis=1)
    rows = np.arange(len(trained))
    return trained[rows, best], exported[rows, best]
