"""The pictures that go with a run, as Matplotlib figures. No global state, no window."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure


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
