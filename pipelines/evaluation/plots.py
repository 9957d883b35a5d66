"""The pictures that go with a run, as Matplotlib figures. No global state, no window."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from registry.errors import shorten

if TYPE_CHECKING:
    from serving.export.request import Measured

_MOST_NAMES, _MOST_CELLS, _LONGEST_NAME = 30, 400, 24
_MOST_COUNTS = 400
"""Each count is a text of its own: 900 of them take more than a second."""


def curves_figure(history: Sequence[Mapping[str, float]]) -> Figure:
    """Loss and top-1, or a detector's mAP, by epoch; `history` has one mapping an epoch."""
    figure = Figure(figsize=(8, 3.2), layout="constrained")
    losses, scores = figure.subplots(1, 2)
    epochs = [epoch.get("epoch", number) for number, epoch in enumerate(history, 1)]
    detects = any("val_map50_95" in epoch for epoch in history)
    quality = (("val_map50_95", "val_map50"), "mAP") if detects else (("val_top1",), "top-1")
    for axes, names, title in ((losses, ("train_loss", "val_loss"), "loss"), (scores, *quality)):
        for name in names:
            points = [(number, epoch[name]) for number, epoch in zip(epochs, history, strict=True) if name in epoch]
            if points:
                axes.plot(*zip(*points, strict=True), marker="o", markersize=3, label=name)
        axes.set(title=title, xlabel="epoch")
        axes.grid(alpha=0.3)
        if axes.lines:
            axes.legend()
    return figure


def confusion_figure(confusion: Sequence[Sequence[int]], labels: Sequence[str], title: str) -> Figure:
    """Counts, true class down, guessed class across; of bounded size, however many classes there are.

    Up to 30 classes have their names, and up to 400 counts are written out. Beyond that colours say it, each row relative to
    its own images, and only some names fit; beyond 400 classes, neighbouring ones share a cell.
    """
    counts = np.asarray(confusion, np.int64).reshape(len(labels), len(labels))
    step = -(-len(labels) // _MOST_CELLS) or 1
    cells = _merged(counts, step)
    few = len(labels) <= _MOST_NAMES and np.count_nonzero(cells) <= _MOST_COUNTS
    side = max(4.0, 0.55 * min(len(labels), _MOST_NAMES))
    figure = Figure(figsize=(side + 0.6, side), layout="constrained")
    axes = figure.subplots()
    axes.imshow(
        cells if few else cells / np.maximum(cells.sum(axis=1, keepdims=True), 1), cmap="Blues", interpolation="nearest"
    )
    axes.set(title=title, xlabel="guessed", ylabel="true")
    shown = range(0, len(cells), -(-len(cells) // _MOST_NAMES) or 1)
    names = [_short(labels[index * step]) for index in shown]
    axes.set_xticks(shown, names, rotation=0 if max(map(len, names), default=0) == 1 else 45, parse_math=False)
    axes.set_yticks(shown, names, parse_math=False)
    darkest = cells.max(initial=0)
    for down, across in np.argwhere(cells) if few else ():
        count = cells[down, across]
        colour = "white" if count > darkest / 2 else "black"
        # counts lie within the axes anyway: measuring each for the layout takes as long as drawing it
        axes.text(across, down, str(count), ha="center", va="center", color=colour, in_layout=False)
    return figure


def _merged(counts: NDArray[np.int64], step: int) -> NDArray[np.int64]:
    """The sums of blocks of `step` x `step` cells."""
    starts = np.arange(0, len(counts), step)
    if step == 1:
        return counts
    return np.add.reduceat(np.add.reduceat(counts, starts, axis=0), starts, axis=1)


def _short(label: str) -> str:
    """A class's name as a figure can show it: one line, and not wider than the figure."""
    return shorten("".join(character if character.isprintable() else " " for character in label), _LONGEST_NAME)


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
