"""`modelyard curve`: the curves of a data set, and what more clips are predicted to be worth."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches

from pipelines.data.dataset import Progress
from pipelines.training.curve.law import Predicted, predict
from pipelines.training.curve.measure import class_scores, measure
from pipelines.training.curve.pool import Draw, Pool, draws
from pipelines.training.curve.report import ClassCurve, CurvePoint, Curves
from registry.errors import InputError
from registry.records import Gain

_DRAWS, _SEED = 24, 0
_MOST_CLASSES = 10
_SHOWN = 5
_LEAST_CLIPS, _LEAST_SIZES = 3, 2


@dataclass(frozen=True)
class Asked:
    """What is asked for: how many clips more, and of which classes; none named: the ten that do worst."""

    more: int = 10
    labels: Sequence[str] = ()


def check_labels(labels: Sequence[str], known: Sequence[str]) -> None:
    """Raise InputError for a class that the data set does not have, with those that are spelled alike."""
    for label in labels:
        if label not in known:
            near = get_close_matches(label, known, n=3) or known[:_SHOWN]
            remedy = f"give --class one of its own, such as {', '.join(near)}"
            raise InputError(f"class '{label}'", "is not in the data set", remedy)


def curves(pool: Pool, asked: Asked, progress: Progress) -> tuple[ClassCurve, list[ClassCurve]]:
    """The curve of all classes together, and of each that was asked for, those that do worst first."""
    drawn = draws(pool, _DRAWS, _SEED)
    scores = class_scores(pool, drawn)
    order = sorted(range(len(pool.labels)), key=lambda label: (scores[label], pool.trained[label]))
    chosen = [label for label in order if pool.labels[label] in asked.labels] if asked.labels else order[:_MOST_CLASSES]
    total = (len(chosen) + 1) * len(drawn)
    finished = [0]

    def on_draw() -> None:
        finished[0] += 1
        progress("heads on more and more clips", finished[0], total)

    whole = _curve(pool, drawn, None, asked.more, on_draw)
    return whole, [_curve(pool, drawn, label, asked.more, on_draw) for label in chosen]


def _curve(pool: Pool, drawn: Sequence[Draw], label: int | None, more: int, on_draw: Callable[[], None]) -> ClassCurve:
    name = "" if label is None else pool.labels[label]
    now = sum(pool.trained) / len(pool.trained) if label is None else pool.trained[label]
    if why := unmeasurable(pool, label):
        return ClassCurve(label=name, clips=now, why=why)
    measured = measure(pool, drawn, label, on_draw)
    predicted = predict(measured, max(now, 1.0), more, _SEED)
    gain = Gain(clips=more, low=predicted.low, high=predicted.high)
    without = () if label is not None else tuple(each for at, each in enumerate(pool.labels) if unmeasurable(pool, at))
    scored, points = int(measured.scored.sum()), _points(predicted)
    return ClassCurve(label=name, clips=now, scored=scored, points=points, gain=gain, without=without)


def _points(predicted: Predicted) -> tuple[CurvePoint, ...]:
    return tuple(CurvePoint(clips=at.clips, accuracy=at.score, low=at.low, high=at.high) for at in predicted.points)


def unmeasurable(pool: Pool, label: int | None) -> str:
    """Why there is no curve of a class, or of all together; empty where there is one."""
    if label is None:
        reasons = [unmeasurable(pool, each) for each in range(len(pool.labels))]
        return "" if not all(reasons) else "no class has enough clips"
    clips = pool.clips_of(label)
    scorable = pool.scorable.intersection(clips)
    has = f"'{pool.labels[label]}' has {len(clips)} clip{'' if len(clips) == 1 else 's'} in train and val"
    if len(clips) < _LEAST_CLIPS:
        return f"{has}: {_LEAST_CLIPS} are needed, some to learn from and others to score"
    if len(scorable) < len(clips) and len(scorable) < _LEAST_SIZES:
        return f"{has}, {len(scorable)} of them in val: {_LEAST_SIZES} are needed there"
    if pool.most_learnt_from(label) < _LEAST_SIZES:
        return f"{has}, {pool.most_learnt_from(label)} of them in train: {_LEAST_SIZES} are needed there"
    return ""


def as_curves(pool: Pool, dataset: str, network: str, asked: Asked, progress: Progress) -> Curves:
    """The whole answer. `dataset` is the digest, `network` what the features are of."""
    whole, classes = curves(pool, asked, progress)
    return Curves(dataset=dataset, network=network, more=asked.more, overall=whole, classes=classes)
