"""What a score is worth where some of the held-out images are leaked: the same scores without them."""

from __future__ import annotations

from collections import Counter

import numpy as np

from pipelines.data.leaks.report import LeakReport
from pipelines.evaluation.scores import HeldOutSet, Probabilities, evaluate
from registry.measured import FEW
from registry.records import Leaked


def price_of_leaks(probabilities: Probabilities, held: HeldOutSet, report: LeakReport, split: str) -> Leaked | None:
    """The scores without the leaked images of a split; None where nothing is leaked, so that nothing changes."""
    files = held.files or []
    leaked = report.leaked(split) & set(files)
    if not leaked:
        return None
    kinds = Counter(leak.kind for leak in report.leaks if leak.split_b == split and leak.file_b in leaked)
    part = {"images": len(leaked), "share": len(leaked) / len(files), "kinds": dict(sorted(kinds.items()))}
    kept = [position for position, file in enumerate(files) if file not in leaked]
    if not kept:
        return Leaked.model_validate(part)
    rest = HeldOutSet(held.labels, held.targets[kept].tolist(), [held.clips[position] for position in kept])
    score = evaluate(np.asarray(probabilities)[kept], rest, "", split)
    return Leaked.model_validate(
        {**part, "metrics": _known(score.metrics, rest), "interval": score.interval if len(kept) >= FEW else None}
    )


def _known(metrics: dict[str, float], rest: HeldOutSet) -> dict[str, float]:
    """Averages over classes say nothing where a class has no image left."""
    whole = len(set(rest.targets.tolist())) == len(rest.labels)
    return {name: value for name, value in metrics.items() if whole or name in {"top1", "top5"}}
