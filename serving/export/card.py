"""The model card."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from registry.measured import few_clips_in_words
from registry.records import Evaluation, ParityFigures
from serving.bundle.modelinfo import ModelInfo


@dataclass(frozen=True, slots=True)
class Facts:
    """A version's facts for its card. `data` describes its data set, as Markdown."""

    label: str
    digest: str
    evaluation: Evaluation | None
    train_usd: Decimal | None
    data: str = ""


def licence_of(info: ModelInfo) -> str:
    """The licence of a model, as far as its trainer decides it."""
    return "AGPL-3.0 (trained with Ultralytics)" if info.trainer == "yolo" else "not stated"


def write_card(facts: Facts, info: ModelInfo, parity: Sequence[ParityFigures] = ()) -> str:
    """The card, as Markdown."""
    fitted = "resized and cropped" if info.task == "classify" else "resized and padded"
    kind = "image classifier" if info.task == "classify" else "object detector"
    fitted += ", JPEGs decoded at reduced scale," if info.preprocess.decode == "reduced" else ""
    lines = [
        f"# {facts.label}",
        "",
        f"An {kind} ({info.trainer}, {info.arch}) for: {', '.join(info.labels)}.",
        "",
        f"- model bytes: `{facts.digest}`",
        f"- data set: `{info.dataset}`",
        f"- input: image file, {fitted} to {info.preprocess.size} x {info.preprocess.size} px (`preprocess.json`)",
        f"- licence: {licence_of(info)}",
        f"- training cost: {'not recorded' if facts.train_usd is None else f'${facts.train_usd}'}",
        "",
        "## Data",
        "",
        facts.data or "Only the data set's digest is known.",
        "",
        "## Held-out results",
        "",
        *_results(facts.evaluation, info),
        *_reliability(facts.evaluation),
        "",
        "## Exports",
        "",
        *_exports(parity),
        "",
        "## Limits",
        "",
        *(_limits(facts.evaluation) if info.task == "classify" else _limits_of_detector(facts.evaluation)),
    ]
    return "\n".join(lines) + "\n"


_HEADS = {
    "model bytes": "- model bytes: `",
    "data set": "- data set: `",
    "input": "- input: ",
    "licence": "- licence: ",
}
_CLASSIFIER_SECTIONS = {
    "training cost": "- training cost: $",
    "results": "Top-1 ",
    "classes": "| class | precision |",
}
_DETECTOR_SECTIONS = {"parity": "| variant | images | agreement | mAP difference |"}
_SCORED_DETECTOR = {"results": "mAP50-95 ", "classes": "| class | AP50-95 |"}
_LIMITS = {"limits": "## Limits\n\nIt"}


def missing_from(card: str) -> list[str]:
    """The required parts that a card lacks. The card of a detector that was trained elsewhere needs no held-out results."""
    detects, trained_here = "\nAn object detector (" in card, f"\n{_CLASSIFIER_SECTIONS['training cost']}" in card
    of_detectors = _DETECTOR_SECTIONS | (_SCORED_DETECTOR if trained_here else {})
    sections = _HEADS | (of_detectors if detects else _CLASSIFIER_SECTIONS) | _LIMITS
    return [name for name, start in sections.items() if f"\n{start}" not in card]


def section_of(card: str, title: str) -> str:
    """The text below a card's heading; empty if there is no such heading."""
    _, heading, rest = card.partition(f"\n## {title}\n\n")
    return rest.partition("\n\n## ")[0].rstrip("\n") if heading else ""


def _results(evaluation: Evaluation | None, info: ModelInfo) -> list[str]:
    if evaluation is None:
        more = " How close its exports are is shown below." if info.task == "detect" else ""
        return [f"Not evaluated.{more}"]
    low, high = evaluation.interval
    where = f"{evaluation.images} images of {evaluation.clips} clips that training never saw"
    if evaluation.task == "detect":
        return _results_of_detector(evaluation, where)
    lines = [
        f"Top-1 {evaluation.metrics['top1']:.3f} (95 % interval over clips {low:.3f} to {high:.3f}) on {where}.",
        "",
        "| class | precision | recall | images |",
        "|---|---|---|---|",
    ]
    return lines + [f"| {c.label} | {c.precision:.3f} | {c.recall:.3f} | {c.support} |" for c in evaluation.classes]


def _results_of_detector(evaluation: Evaluation, where: str) -> list[str]:
    low, high = evaluation.interval
    lines = [
        f"mAP50-95 {evaluation.score:.3f} (95 % interval over clips {low:.3f} to {high:.3f}) on {where}.",
        f"At half an overlap, mAP50, it is {evaluation.metrics['map50']:.3f}.",
        "",
        "| class | AP50-95 | AP50 | precision | recall | boxes |",
        "|---|---|---|---|---|---|",
    ]
    for c in evaluation.classes:
        aps = " | ".join("-" if ap is None else f"{ap:.3f}" for ap in (c.ap, c.ap50))
        lines.append(f"| {c.label} | {aps} | {c.precision:.3f} | {c.recall:.3f} | {c.support} |")
    return lines


def _reliability(evaluation: Evaluation | None) -> list[str]:
    """How far the scores and the answers can be relied on, as far as that was measured; each in a paragraph of its own."""
    if evaluation is None:
        return []
    few = few_clips_in_words(evaluation.clips, evaluation.split)
    parts = [few, *map(str, filter(None, (evaluation.robustness, evaluation.calibration, evaluation.sets)))]
    return [line for part in parts if part for line in ("", f"{part[0].upper()}{part[1:]}.")]


def _exports(parity: Sequence[ParityFigures]) -> list[str]:
    """Each variant compared with the trained model; differences to one digit, since later digits vary from run to run."""
    if not parity:
        return ["None was measured."]
    detects = any(figures.map_difference is not None for figures in parity)
    third = "mAP difference" if detects else "largest difference"
    lines = [f"| variant | images | agreement | {third} | in the bundle |", "|---|---|---|---|---|"]
    for figures in parity:
        difference = (figures.map_difference or 0.0) if detects else figures.max_abs_diff
        shown = [f"{figures.top1_agreement:.3f}", f"{difference:.0e}"] if figures.made else ["", ""]
        lines.append(f"| {figures.variant} | {figures.images} | {' | '.join(shown)} | {'yes' if figures.kept else 'no'} |")
    return lines


def _limits_of_detector(evaluation: Evaluation | None) -> list[str]:
    """A detector's known limits, and what was not measured."""
    lines = ["It finds only what it was trained to find. What it is less sure of than the least score is not reported."]
    if evaluation is None or evaluation.task != "detect":
        return [*lines, "How often it misses something, or sees what is not there, was not measured here."]
    missed, wrong = 1 - evaluation.metrics["recall"], 1 - evaluation.metrics["precision"]
    lines.append(f"It missed {missed:.0%} of the objects, and {wrong:.0%} of what it reported was something else, or nothing.")
    if scored := [score for score in evaluation.classes if score.ap is not None]:
        weakest = min(scored, key=lambda score: (score.ap or 0.0, score.label))
        lines.append(f"Its weakest class is {weakest.label}, with an AP50-95 of {weakest.ap:.3f} on {weakest.support} boxes.")
    return lines


def _limits(evaluation: Evaluation | None) -> list[str]:
    """A classifier's known limits, and what was not measured."""
    lines = [
        "It was tested on clips like those it was trained on. It always names one of its classes, also for a picture",
        "that shows none of them.",
    ]
    if evaluation is None:
        return lines
    if evaluation.classes:
        weakest = min(evaluation.classes, key=lambda scores: (scores.f1, scores.label))
        lines.append(f"Its weakest class is {weakest.label}, with an F1 of {weakest.f1:.3f} on {weakest.support} images.")
    parts = sorted(evaluation.slices.items(), key=lambda item: (item[1].top1, item[0]))
    if not parts and evaluation.robustness:
        return [*lines, "How another background changes its answers was not measured: the job names no slices."]
    if not parts:
        return [*lines, "How light, background or camera change its answers was not measured: the job names no slices."]
    return lines + [f"In the part '{name}' its top-1 is {part.top1:.3f}, on {part.images} images." for name, part in parts]
