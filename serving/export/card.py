"""The model card: what a person should know before using the model."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from registry.records import Evaluation
from serving.modelinfo import ModelInfo


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of a version when its card is written."""

    label: str
    digest: str
    evaluation: Evaluation | None
    train_usd: Decimal | None


def licence_of(info: ModelInfo) -> str:
    """Under what a model may be used."""
    return "AGPL-3.0 (trained with Ultralytics)" if info.trainer == "yolo" else "as its training data's"


def write_card(facts: Facts, info: ModelInfo) -> str:
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
        "## Held-out results",
        "",
        *_results(facts.evaluation),
        "",
        "## Limits",
        "",
        *(_CLASSIFIER if info.task == "classify" else _DETECTOR),
    ]
    return "\n".join(lines) + "\n"


_CLASSIFIER = (
    "It was tested on clips like those it was trained on. It always names one of its classes, also for a picture",
    "that shows none of them.",
)
_DETECTOR = ("It finds only what it was trained to find. What it is less sure of than the least score is not reported.",)

_SECTIONS = {
    "model bytes": "- model bytes: `",
    "data set": "- data set: `",
    "input": "- input: ",
    "licence": "- licence: ",
    "training cost": "- training cost: $",
    "results": "Top-1 ",
    "classes": "| class | precision |",
    "limits": "## Limits\n\nIt",
}


def missing_from(card: str) -> list[str]:
    """What a card does not say and must."""
    return [name for name, start in _SECTIONS.items() if f"\n{start}" not in card]


def _results(evaluation: Evaluation | None) -> list[str]:
    if evaluation is None:
        return ["Not evaluated."]
    low, high = evaluation.interval
    where = f"{evaluation.images} images of {evaluation.clips} clips that training never saw"
    lines = [
        f"Top-1 {evaluation.metrics['top1']:.3f} (95 % interval over clips {low:.3f} to {high:.3f}) on {where}.",
        "",
        "| class | precision | recall | images |",
        "|---|---|---|---|",
    ]
    return lines + [f"| {c.label} | {c.precision:.3f} | {c.recall:.3f} | {c.support} |" for c in evaluation.classes]
