"""What a score is worth where some of the held-out images are leaked: the same scores without them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np

from pipelines.data.leaks.report import LeakReport
from pipelines.evaluation.detect import HeldOutBoxes, evaluate_boxes
from pipelines.evaluation.scores import HeldOutSet, Probabilities, evaluate
from registry.measured import FEW
from registry.records import Evaluation, Leaked


def price_of_leaks(probabilities: Probabilities, held: HeldOutSet, report: LeakReport, split: str) -> Leaked | None:
    """The scores without the leaked images of a split; None where nothing is leaked, so that nothing changes."""

    def rest_of(kept: list[int]) -> Evaluation:
        rest = HeldOutSet(held.labels, held.targets[kept].tolist(), [held.clips[position] for position in kept])
        return evaluate(np.asarray(probabilities)[kept], rest, "", split)

    return _priced(held.files or [], report, split, rest_of)


def price_of_leaked_boxes(detections: Probabilities, held: HeldOutBoxes, report: LeakReport, split: str) -> Leaked | None:
    """The same of a detector."""
    return _priced(
        held.files, report, split, lambda kept: evaluate_boxes(np.asarray(detections)[kept], held.part(kept), "", split)
    )


def _priced(files: Sequence[str], report: LeakReport, split: str, rest_of: Callable[[list[int]], Evaluation]) -> Leaked | None:
    leaked = report.leaked(split) & set(files)
    if not leaked:
        return None
    kinds = Counter(leak.kind for leak in report.leaks if leak.split_b == split and leak.file_b in leaked)
    part = {"images": len(leaked), "share": len(leaked) / len(files), "kinds": dict(sorted(kinds.items()))}
    kept = [position for position, file in enumerate(files) if file not in leaked]
    if not kept:
        return Leaked.model_validate(part)
    rest = rest_of(kept)
    return Leaked.model_validate({**part, "metrics": _known(rest), "interval": rest.interval if len(kept) >= FEW else None})


def _known(rest: Evaluation) -> dict[str, float]:
    """Averages over classes say nothing where a class has no image left; of a detector there are no others."""
    whole = all(score.support for score in rest.classes)
    alone = {"top1", "top5"} if rest.task == "classify" else {"precision", "recall"}
    return {name: value for name, value in rest.metrics.items() if whole or name in alone}
