"""Scores of a classifier on held-out images, with an interval that respects clips."""

from __future__ import annotations

import re
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from registry.records import ClassScore, Evaluation, Mistake, Outcomes, SliceScore

Probabilities = NDArray[np.float32]
_RESAMPLES = 2000
_MISTAKES = 12


class HeldOutSet:
    """What was held out: true classes and the clip of each image, in the order of the probabilities."""

    def __init__(
        self,
        labels: list[str],
        targets: list[int],
        clips: list[str],
        slices: Mapping[str, str] | None = None,
        files: list[str] | None = None,
    ) -> None:
        """`targets` index into `labels`; `clips` has one name an image; a slice's pattern is searched in those names.

        `files` names each image within its data set, so that the worst mistakes can be shown.
        """
        self.labels = labels
        self.targets = np.asarray(targets)
        self.clips = clips
        self.slices = dict(slices or {})
        self.files = files


def evaluate(probabilities: Probabilities, held: HeldOutSet, dataset: str, split: str) -> Evaluation:
    """Score `[N, classes]` probabilities. A row with a NaN in it counts as wrong."""
    finite = np.isfinite(probabilities).all(axis=1)
    ranked = np.argsort(-np.nan_to_num(probabilities, nan=-1.0), axis=1, kind="stable")
    guesses = np.where(finite, ranked[:, 0], -1)
    right = guesses == held.targets
    top5 = (ranked[:, :5] == held.targets[:, None]).any(axis=1) & finite
    confusion = np.zeros((len(held.labels), len(held.labels)), int)
    np.add.at(confusion, (held.targets[finite], guesses[finite]), 1)
    classes = [_class_score(label, index, guesses, held.targets) for index, label in enumerate(held.labels)]
    metrics = {
        "top1": float(right.mean()),
        "top5": float(top5.mean()),
        "macro_f1": float(np.mean([score.f1 for score in classes])),
        "worst_recall": min(score.recall for score in classes),
    }
    return Evaluation(
        dataset=dataset,
        split=split,
        images=len(right),
        clips=len(set(held.clips)),
        metrics=metrics,
        interval=bootstrap_interval(right, held.clips),
        classes=classes,
        confusion=confusion.tolist(),
        slices={name: _slice_score(pattern, right, held.clips) for name, pattern in held.slices.items()},
        outcomes=_outcomes(right, held.clips),
        mistakes=_worst(probabilities, guesses, held),
    )


def _worst(probabilities: Probabilities, guesses: NDArray[np.int_], held: HeldOutSet) -> list[Mistake]:
    """The wrong answers that were given most surely, answers that are no numbers first."""
    if held.files is None:
        return []
    sure = np.where(guesses >= 0, np.nan_to_num(probabilities.max(axis=1)), np.inf)
    wrong = [index for index in np.argsort(-sure, kind="stable") if guesses[index] != held.targets[index]]
    return [
        Mistake(
            file=held.files[index],
            label=held.labels[held.targets[index]],
            answer=held.labels[guesses[index]] if guesses[index] >= 0 else "",
            probability=float(sure[index]) if guesses[index] >= 0 else 0.0,
        )
        for index in wrong[:_MISTAKES]
    ]


def _slice_score(pattern: str, right: NDArray[np.bool_], clips: list[str]) -> SliceScore:
    """Top-1 of the images whose clip a pattern is found in; of none it is 0, and no gate takes it for a measurement."""
    member = np.asarray([re.search(pattern, clip) is not None for clip in clips])
    count = int(member.sum())
    return SliceScore(images=count, top1=float(right[member].mean()) if count else 0.0, pattern=pattern)


def _outcomes(right: NDArray[np.bool_], clips: list[str]) -> Outcomes:
    """Right and wrong with the images of a clip together, in the order of clips' names and then as they came."""
    order = sorted(range(len(clips)), key=lambda index: clips[index])
    _, per_clip = np.unique(clips, return_counts=True)
    return Outcomes(right="".join("1" if right[index] else "0" for index in order), per_clip=per_clip.tolist())


def bootstrap_interval(right: NDArray[np.bool_] | NDArray[np.float64], clips: list[str], seed: int = 0) -> tuple[float, float]:
    """The 95 % percentile interval of the share that is right, or of another mean, resampling whole clips with replacement."""
    names, member = np.unique(clips, return_inverse=True)
    hits = np.bincount(member, weights=right)
    sizes = np.bincount(member)
    picks = np.random.default_rng(seed).integers(0, len(names), (_RESAMPLES, len(names)))
    shares = hits[picks].sum(axis=1) / sizes[picks].sum(axis=1)
    low, high = np.quantile(shares, [0.025, 0.975])
    return float(low), float(high)


def _class_score(label: str, index: int, guesses: NDArray[np.int_], targets: NDArray[np.int_]) -> ClassScore:
    """One class against the rest; a ratio over nothing is 0."""
    hit = int(((guesses == index) & (targets == index)).sum())
    answered, support = int((guesses == index).sum()), int((targets == index).sum())
    precision, recall = hit / answered if answered else 0.0, hit / support if support else 0.0
    f1 = 2 * precision * recall / (precision + recall) if hit else 0.0
    return ClassScore(label=label, precision=precision, recall=recall, f1=f1, support=support)
