"""What would most likely help a version that the gates refused: one sentence, from its evaluation.

It looks at what failed, at the class that is recognized worst, at what that is taken for, at how many clips it has, and at how
sure the mistakes are. What more clips are predicted to be worth is added where a learning curve was measured
(`Evidence.gains`). Gates whose findings name their own remedy, such as an export that is missing, get no advice.
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median
from typing import Literal

from registry.measured import FEW_CLIPS
from registry.records import ClassScore, Evaluation, Evidence, Finding, Record

Kind = Literal["more clips", "other clips", "test clips", "labels", "training", "calibration", "machine"]
_SURE, _FEW_SURE = 0.9, 2
_LEARNED = 0.15
"""Of the way from chance to perfect: below, a model has learned next to nothing."""
_FOUND = 0.05
"""mAP50 below which a detector has learned next to nothing."""
_MISSED = "nothing"
_SHOWN_AS = {
    "blur": "out of focus or in motion",
    "dark": "in little light",
    "jpeg": "strongly compressed, as a video call sends them",
    "noise": "with a weak, noisy camera",
}
_CALIBRATION, _SETS = ("ece", "ece_scaled", "temperature"), ("coverage",)


class Advice(Record):
    """What to do next. `label`: the class that it is about, empty where it is about all of them."""

    kind: Kind
    text: str
    label: str = ""


def advise(evidence: Evidence, findings: Sequence[Finding]) -> Advice | None:
    """The advice to the first failed gate that the evaluation explains; None where nothing failed, or nothing is known."""
    failed = [finding for finding in findings if not finding.passed and finding.figure is not None]
    evaluation = evidence.evaluation
    for finding in failed:
        if finding.gate == "latency":
            return _about_latency(evidence)
        if evaluation is not None and finding.gate in {"metric", "champion"}:
            return _about_metric(finding, evidence, evaluation)
    return None


def _about_metric(finding: Finding, evidence: Evidence, evaluation: Evaluation) -> Advice | None:
    if finding.metric in _CALIBRATION:
        return _about_calibration(finding, evaluation)
    if finding.metric in _SETS and (about_coverage := _about_coverage(evaluation)):
        return about_coverage
    if evaluation.robustness and finding.metric in {"robust_top1", "robust_drop", *evaluation.robustness.top1}:
        return _about_worse_pictures(finding, evaluation)
    if finding.part in evaluation.slices:
        part = evaluation.slices[finding.part]
        text = f"film more clips like those of '{finding.part}', where top-1 is {part.top1:.2f} on {part.images} images"
        return Advice(kind="other clips", text=text)
    return _about_accuracy(finding, evidence, evaluation)


def _about_accuracy(finding: Finding, evidence: Evidence, evaluation: Evaluation) -> Advice | None:
    """The worst class, or what has to come before any class: training that learned something, and a test that can tell."""
    classes = [score for score in evaluation.classes if score.support]
    top1 = evaluation.metrics.get("top1")
    chance = 1 / max(len(classes), 1)
    if top1 is not None and chance < 1 and (top1 - chance) / (1 - chance) < _LEARNED:
        how = "train it differently first, longer or from pretrained weights"
        text = f"{how}: top-1 {top1:.2f} is hardly more than chance with {len(classes)} classes"
        return Advice(kind="training", text=text)
    if (map50 := evaluation.metrics.get("map50", 1.0)) < _FOUND:
        how = "train it differently first, longer or from pretrained weights"
        return Advice(kind="training", text=f"{how}: it finds hardly anything, mAP50 {map50:.2f}")
    named = [score for score in classes if score.label == finding.part]
    worst = named[0] if named else min(classes, key=lambda score: (score.recall, score.f1, score.label), default=None)
    if worst is None or min(worst.recall, worst.precision) >= 1:
        return None
    described = _described(worst, evaluation)
    if sure := _sure_mistakes(worst, evaluation):
        text = f"look at the labels of '{worst.label}' first, see `modelyard data label-errors`: {described}, {sure}"
        return Advice(kind="labels", label=worst.label, text=text)
    if evaluation.clips < FEW_CLIPS:
        text = (
            f"more clips of every class, for the test as well: {evaluation.clips} test "
            f"clip{' leaves' if evaluation.clips == 1 else 's leave'} it to chance; {described}"
        )
        return Advice(kind="test clips", label=worst.label, text=text)
    return _about_class(worst, described, evidence, classes)


def _about_class(worst: ClassScore, described: str, evidence: Evidence, classes: Sequence[ClassScore]) -> Advice:
    """More clips of a class that has few; clips of another kind of one that has as many as the others."""
    others = [score.train_clips for score in classes if score is not worst and score.train_clips is not None]
    usual = median(others or [0])
    gain = evidence.gains.get(worst.label)
    worth = f"; {gain}" if gain else ""
    if worst.train_clips is None or worst.train_clips < usual or (gain is not None and gain.low > 0):
        has = "" if worst.train_clips is None else f", {worst.train_clips} clips to train on where the others have {usual:g}"
        return Advice(kind="more clips", label=worst.label, text=f"more clips of '{worst.label}': {described}{has}{worth}")
    text = (
        f"other clips of '{worst.label}' than it has, by other people and in other rooms: {described}, although its "
        f"{worst.train_clips} clips to train on are as many as the others have{worth}"
    )
    return Advice(kind="other clips", label=worst.label, text=text)


def _described(score: ClassScore, evaluation: Evaluation) -> str:
    """How a class is recognized, and what it is taken for; of a detector's boxes it may be for nothing at all."""
    things = "boxes" if evaluation.task == "detect" else "images"
    tested = f"on {score.clips} test clip{'' if score.clips == 1 else 's'}" if score.clips else f"on {score.support} {things}"
    low = "recall" if score.recall <= score.precision else "precision"
    text = f"{low} {getattr(score, low):.2f} {tested}"
    answer, count, wrong = _taken_for(score.label, evaluation)
    taken = "missed" if (evaluation.task, answer) == ("detect", _MISSED) else f"taken for '{answer}'"
    return f"{text}, {taken} in {count} of {wrong} mistakes" if answer else text


def _taken_for(label: str, evaluation: Evaluation) -> tuple[str, int, int]:
    """The class that a class is taken for most, how often, and of how many mistakes; empty where it is never mistaken."""
    labels = [score.label for score in evaluation.classes]
    index = labels.index(label)
    row = evaluation.confusion[index] if index < len(evaluation.confusion) else []
    others = {position: count for position, count in enumerate(row) if position != index and count}
    if not others:
        return "", 0, 0
    most = max(others, key=lambda position: others[position])
    return labels[most] if most < len(labels) else _MISSED, others[most], sum(others.values())


def _sure_mistakes(score: ClassScore, evaluation: Evaluation) -> str:
    """Mistakes that a model with hardly any doubt makes are often none: the label is. Empty where they are few."""
    answer, count, _ = _taken_for(score.label, evaluation)
    wrong = [mistake for mistake in evaluation.mistakes if (mistake.label, mistake.answer) == (score.label, answer)]
    sure = sum(mistake.probability >= _SURE for mistake in wrong)
    if not answer or sure < max(_FEW_SURE, count / 2):
        return ""
    return f"{sure} of them with a probability above {_SURE:.0%}"


def _about_worse_pictures(finding: Finding, evaluation: Evaluation) -> Advice | None:
    robust = evaluation.robustness
    if robust is None:
        return None
    name = finding.metric if finding.metric in robust.top1 else robust.worst
    how = _SHOWN_AS.get(name.rpartition("_")[0], "like those")
    text = f"film clips {how}: top-1 falls from {robust.clean:.2f} to {robust.top1[name]:.2f} ({name}, {robust.images} images)"
    return Advice(kind="other clips", text=text)


def _about_calibration(finding: Finding, evaluation: Evaluation) -> Advice | None:
    measured = evaluation.calibration
    if measured is None or measured.temperature is None or measured.ece_scaled is None:
        return Advice(kind="calibration", text="give the data set a val split, so that a temperature can be fitted")
    if finding.metric == "ece" and finding.limit is not None and measured.ece_scaled <= finding.limit:
        text = (
            f"gate `ece_scaled` if clients scale: temperature {measured.temperature:.2f} brings the error to "
            f"{measured.ece_scaled:.3f}; else train for fewer epochs or on more clips"
        )
        return Advice(kind="calibration", text=text)
    why = f"even with temperature {measured.temperature:.2f} the error is {measured.ece_scaled:.3f}"
    text = f"more clips, by other people and in other rooms: {why}"
    return Advice(kind="more clips", text=text)


def _about_coverage(evaluation: Evaluation) -> Advice | None:
    """What keeps the promise from being kept; None where it is kept: then better answers are what is missing."""
    sets = evaluation.sets
    if sets is None or (sets.guaranteed and not sets.broken):
        return None
    if sets.broken:
        text = "compare the splits, see `modelyard data leaks`: the test clips are of another kind than val's, or val's leaked"
        return Advice(kind="other clips", text=text)
    return Advice(kind="calibration", text=f"more clips in val: {sets.promise}")


def _about_latency(evidence: Evidence) -> Advice | None:
    latency = evidence.latency
    if latency is None:
        return None
    if latency.disturbed:
        text = f"measure again on an idle machine, `modelyard export {evidence.label}`: it was busy with other things"
        return Advice(kind="machine", text=text)
    return Advice(
        kind="training", text="train a smaller network or a smaller `imgsz`; half the side takes a quarter of the time"
    )
