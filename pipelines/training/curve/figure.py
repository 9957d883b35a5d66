"""Learning curves as a picture."""

from __future__ import annotations

from matplotlib.figure import Figure

from pipelines.training.curve.report import ClassCurve, Curves

_COLUMNS, _MOST = 4, 12


def curves_figure(curves: Curves) -> Figure:
    """Accuracy against clips with its 90 % band, and the predicted gain as a bar: all classes together, then single ones."""
    shown = [curve for curve in (curves.overall, *curves.classes) if curve.points][:_MOST]
    rows = max(1, -(-len(shown) // _COLUMNS))
    figure = Figure(figsize=(3 * _COLUMNS, 2.6 * rows), layout="constrained")
    for axes, curve in zip(figure.subplots(rows, _COLUMNS, squeeze=False).flat, [*shown, *[None] * _MOST], strict=False):
        if curve is None:
            axes.axis("off")
            continue
        _draw(axes, curve)
    return figure


def _draw(axes, curve: ClassCurve) -> None:  # noqa: ANN001 of Matplotlib
    clips = [point.clips for point in curve.points]
    scores = [point.accuracy for point in curve.points]
    axes.plot(clips, scores, marker="o", markersize=3)
    axes.fill_between(clips, [point.low for point in curve.points], [point.high for point in curve.points], alpha=0.2)
    if curve.gain is not None:
        at, base = curve.clips + curve.gain.clips, scores[-1]
        low, high = (min(max(base + end, 0.0), 1.0) for end in (curve.gain.low, curve.gain.high))
        axes.plot([at, at], [low, high], linewidth=4, alpha=0.5, solid_capstyle="butt")
    axes.set(ylim=(0, 1.02), xlabel="clips")
    axes.set_title(curve.label or "all classes", parse_math=False, fontsize=9)
    axes.grid(alpha=0.3)
