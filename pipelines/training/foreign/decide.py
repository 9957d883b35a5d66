"""What a file does not say, found out from its answers on the data set's own pictures, and said.

Its outputs are probabilities or logits; it was trained on pixels in 0..1 or on normalised ones; its classes come in some
order. The pictures and their labels tell: they are of `val`, which is there to choose by.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from pipelines.data.dataset import DataSet
from pipelines.training.foreign.contract import About, ForeignModel, Head, Scores
from pipelines.training.foreign.options import KNOWN, Normalise, Options
from registry.errors import InputError
from serving.bundle.modelinfo import ModelInfo
from serving.bundle.preprocess import Preprocess, stack_pixels

if TYPE_CHECKING:
    from pathlib import Path

    from pipelines.home import Say

IMAGES = 64
_SUM = 2e-2
"""How far from 1 the sum of probabilities in 16 bits may be."""
_CLEARLY = 0.3
"""By so much of top-1 another order of the classes has to be better before it is believed."""
_HARDLY = 1e-7


@dataclass(frozen=True, slots=True)
class Decided:
    """What describes the model, what goes around its network, and its own probabilities for some files."""

    info: ModelInfo
    head: Head
    files: list[Path]
    answers: Scores


@dataclass(frozen=True, slots=True)
class Case:
    """What errors call the model, and who is told what was found out."""

    subject: object
    say: Say


def decide(model: ForeignModel, about: About, options: Options, data: DataSet, case: Case) -> Decided:
    """Everything about a classifier that its folder has to say. Raises InputError for what does not fit the data set."""
    say, subject, named = case.say, case.subject, options.labels or about.labels
    preprocess = _preprocess(options, about, subject)
    files, targets = looked_at(data)
    pixels = stack_pixels(preprocess, files).astype(np.float32).transpose(0, 3, 1, 2) / np.float32(255)
    stated = options.normalise or about.normalise
    candidates = [stated] if stated else list(KNOWN.values())
    every = model.answers([candidate.apply(pixels) for candidate in candidates])
    tried = _usable(list(zip(candidates, every, strict=True)), len(files), subject)
    labels = _labels(named, every[0].shape[1], data, subject)
    order = _order(labels, data, subject)
    ranked = [_likelihood(scores, order, targets) for _, scores in tried]
    fits = [0.0 if named else _best_order(scores, targets)[0] for _, scores in tried]  # an order may be wrong as well
    best = max(range(len(tried)), key=lambda index: (fits[index], ranked[index]))
    normalise, scores = tried[best]
    softmax = _softmax(scores, options, subject)
    if not stated:
        _say_normalisation([each for each, _ in tried], ranked, best, say)
    say("its outputs are logits: a softmax is added" if softmax else "its outputs are probabilities")
    if order:
        say(f"its outputs come in the order {', '.join(labels)}: they are put into the data set's")
    if not named:
        _check_order(scores, targets, data, subject)
        say(f"its file names no classes: taken in the data set's order ({', '.join(labels)}); --labels says another")
    say(f"top-1 on {len(files)} pictures of this data set: {ranked[best][0]:.3f}")
    info = ModelInfo(
        trainer=about.trainer,
        arch=about.arch,
        framework="torch",
        labels=data.manifest.labels,
        preprocess=preprocess,
        dataset=data.manifest.digest,
    )
    answers = probabilities_of(scores[:, list(order)] if order else scores, softmax=softmax)
    return Decided(info, Head(normalise, softmax, order), files, answers)


_RESIZES = {"shortest": "shortest side, bilinear, antialiased", "both": "both sides, bilinear, antialiased"}


def looked_at(data: DataSet) -> tuple[list[Path], np.ndarray]:
    """Pictures of `val`, or of `test` where there is none, spread over all of it, and their classes."""
    rows = data.rows("val") or data.rows("test")
    rows = rows[:: max(1, len(rows) // IMAGES)][:IMAGES]
    if not rows:
        raise InputError(data.name, "has no val and no test pictures to try the model on", "deal again, see `modelyard frames`")
    return list(data.files(rows)), np.asarray(data.targets(rows))


def probabilities_of(scores: Scores, *, softmax: bool) -> Scores:
    """A row of probabilities for each row of scores."""
    if not softmax:
        return scores
    powers = np.exp(scores - scores.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def _preprocess(options: Options, about: About, subject: object) -> Preprocess:
    if about.preprocess:
        size, given = about.preprocess.size, [*options.given, *(["--imgsz"] if options.size else [])]
        if (options.size or size) != size or options.resize != "shortest":
            raise InputError(given[-1], f"is not what {subject} says ({size} px, {about.preprocess.resize})", "leave it out")
        return about.preprocess
    if about.size and options.size and about.size != options.size:
        raise InputError("--imgsz", f"is {options.size}, and {subject} takes {about.size} pixels only", "leave it out")
    if not (size := about.size or options.size):
        raise InputError(subject, "takes pictures of any size", "say with --imgsz which side it was trained with")
    return Preprocess.of({"size": size, "resize": _RESIZES[options.resize]})


def _usable(tried: list[tuple[Normalise, Scores]], count: int, subject: object) -> list[tuple[Normalise, Scores]]:
    """Those whose answers are numbers, a row a picture, and not the same for all. Raises InputError where there is none."""
    shape = tried[0][1].shape
    if len(shape) != 2 or shape[0] != count:  # noqa: PLR2004
        raise InputError(subject, f"answers {shape} for {count} pictures", "give a classifier: [batch, classes]")
    numbers = [(each, scores) for each, scores in tried if np.isfinite(scores).all()]
    if not numbers:
        raise InputError(subject, "answers what is not a number (NaN or infinite)", "train it again, or export it in float32")
    varied = [(each, scores) for each, scores in numbers if count == 1 or float(np.ptp(scores, axis=0).max()) > _HARDLY]
    if not varied:
        raise InputError(
            subject, "answers the same for every picture", "check what was exported: it does not look at its input"
        )
    return varied


def _labels(named: Sequence[str], outputs: int, data: DataSet, subject: object) -> tuple[str, ...]:
    labels = tuple(named) or tuple(data.manifest.labels)
    if len(labels) == outputs:
        return labels
    if outputs == 1:
        why = "has one output, which is no score for each class"
        raise InputError(subject, why, "give a network with one output a class (softmax), not a single sigmoid")
    whose = "names" if named else "has, by the data set,"
    raise InputError(
        subject,
        f"has {outputs} outputs and {whose} {len(labels)} classes",
        "fix --labels, or give the data set it was made for",
    )


def _order(labels: tuple[str, ...], data: DataSet, subject: object) -> tuple[int, ...]:
    """For each class of the data set, which output is its own. Raises InputError where they are not the same classes."""
    wanted = data.manifest.labels
    if sorted(labels) != sorted(wanted):
        ours, theirs = ", ".join(labels), ", ".join(wanted)
        remedy = "give the data set it was made for, or its outputs' names in this data set's words with --labels"
        raise InputError(subject, f"knows the classes {ours}, the data set has {theirs}", remedy)
    return () if list(labels) == list(wanted) else tuple(labels.index(name) for name in wanted)


def _likelihood(scores: Scores, order: tuple[int, ...], targets: np.ndarray) -> tuple[float, float]:
    """Top-1, and the mean log-probability of the right class, which decides between equals."""
    values = scores[:, list(order)] if order else scores
    rows = probabilities_of(values, softmax=not _are_probabilities(values))
    right = rows[np.arange(len(rows)), targets]
    return float((rows.argmax(1) == targets).mean()), float(np.log(np.maximum(right, 1e-12)).mean())


def _are_probabilities(scores: Scores) -> bool:
    return bool(scores.min() >= -_SUM and scores.max() <= 1 + _SUM and np.abs(scores.sum(axis=1) - 1).max() <= _SUM)


def _softmax(scores: Scores, options: Options, subject: object) -> bool:
    sums_up = _are_probabilities(scores)
    if options.outputs == "probabilities" and not sums_up:
        why = f"answers rows that do not sum to 1 (the first sums to {float(scores[0].sum()):.3g})"
        raise InputError(subject, why, "leave --outputs out, or give --outputs logits")
    return options.outputs == "logits" or not sums_up


def _say_normalisation(candidates: Sequence[Normalise], ranked: Sequence[tuple[float, float]], best: int, say: Say) -> None:
    tried = ", ".join(f"{each.name} {top1:.2f}" for each, (top1, _) in zip(candidates, ranked, strict=True))
    say(f"its file says no normalisation: {candidates[best].name} fits best (top-1 on val: {tried}); --normalise says another")


def _best_order(scores: Scores, targets: np.ndarray) -> tuple[float, list[int]]:
    """The top-1 of the order of classes that fits the pictures best, and that order: which class each output is."""
    from scipy.optimize import linear_sum_assignment

    classes = scores.shape[1]
    table = np.zeros((classes, max(classes, int(targets.max()) + 1)))
    np.add.at(table, (scores.argmax(1), targets), 1)
    outputs, truths = linear_sum_assignment(-table)
    return float(table[outputs, truths].sum()) / len(targets), truths.tolist()


def _check_order(scores: Scores, targets: np.ndarray, data: DataSet, subject: object) -> None:
    """Refuse an order that nobody gave where another order of the same classes fits the pictures, and this one does not."""
    as_taken, (best, order) = float((scores.argmax(1) == targets).mean()), _best_order(scores, targets)
    if best - as_taken > _CLEARLY and best > 2 * _CLEARLY:
        fitting = ",".join(data.manifest.labels[index] for index in order)
        why = "names no classes, and its answers do not fit the data set's order of them"
        raise InputError(subject, why, f"give --labels; {fitting} would fit {best:.0%} of the pictures")
