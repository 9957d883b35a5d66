"""An evaluation on a terminal: the table per class, and how far the answers can be relied on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipelines.cli.output import table

if TYPE_CHECKING:
    from registry.events import Evaluated
    from registry.records import Robustness


def show_evaluation(event: Evaluated, split: str) -> None:
    """Print a score with everything that was measured beside it."""
    evaluation = event.evaluation
    print(event)
    if evaluation.task == "detect":
        _show_boxes(event, split)
        return
    rows = [
        (c.label, f"{c.precision:.3f}", f"{c.recall:.3f}", f"{c.f1:.3f}", c.support, "" if c.clips is None else c.clips)
        for c in evaluation.classes
    ]
    table(f"{event.label} on {split}", ["class", "precision", "recall", "F1", "images", "clips"], rows)
    if evaluation.robustness:
        _show_robustness(evaluation.robustness)
    for part in (evaluation.robustness, evaluation.calibration, evaluation.sets):
        if part:
            print(part)


def _show_boxes(event: Evaluated, split: str) -> None:
    """A detector's classes; a dash where the split has no box of one."""
    rows = [
        (c.label, f"{c.precision:.3f}", f"{c.recall:.3f}", f"{c.f1:.3f}", _ap(c.ap50), _ap(c.ap), c.support)
        for c in event.evaluation.classes
    ]
    table(f"{event.label} on {split}", ["class", "precision", "recall", "F1", "AP50", "AP50-95", "boxes"], rows)


def _ap(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _show_robustness(robust: Robustness) -> None:
    """Top-1 of each way in which pictures are worse, and the drop from the same pictures as they are."""
    kinds = list(dict.fromkeys(name.rpartition("_")[0] for name in robust.top1))
    rows = [
        (kind, *(f"{value:.3f} ({value - robust.clean:+.3f})" for value in (robust.top1[f"{kind}_{n}"] for n in (1, 2, 3))))
        for kind in kinds
    ]
    table("top-1 on worse pictures", ["", "slightly", "clearly", "strongly"], rows)
