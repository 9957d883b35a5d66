"""The model card: what it says of the exports, and what makes it complete."""

from __future__ import annotations

import sys
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
from networks import LETTERBOX, info

from registry.records import ClassScore, Evaluation, ParityFigures, Robustness
from serving.bundle.preprocess import Preprocess
from serving.bundle.variants import variant_spec
from serving.export.card import Facts, missing_from, section_of, write_card
from serving.export.parity import failed


def figures(**changes: object) -> ParityFigures:
    fields = {"variant": "onnx", "images": 20, "top1_agreement": 1.0, "max_abs_diff": 2.2e-4, "mean_abs_diff": 1e-5}
    return ParityFigures(**fields | {"control_agreement": 0.1, "control_max_abs_diff": 0.9} | changes)


def test_a_card_tells_how_near_its_exports_are() -> None:
    parity = [figures(), failed(variant_spec("tfjs-uint8", required=False), 20, "has no operator")]
    card = write_card(Facts("net/1", "0" * 64, None, Decimal("0.1"), "`digits`: 9 images."), info(), parity)
    assert section_of(card, "Exports").splitlines()[2:] == [
        "| onnx | 20 | 1.000 | 2e-04 | yes |",
        "| tfjs-uint8 | 20 |  |  | no |",
    ]
    assert section_of(card, "Data") == "`digits`: 9 images."
    assert section_of(card, "Nothing") == ""


def test_a_card_says_how_far_its_scores_can_be_relied_on() -> None:
    classes = [ClassScore(label="a", precision=1, recall=1, f1=1, support=9)]
    fields = {"dataset": "d", "split": "test", "images": 9, "classes": classes, "confusion": [[9]], "interval": (1, 1)}
    robust = Robustness(images=9, clips=3, clean=1.0, top1={"blur_1": 0.9, "dark_3": 0.2})
    scored = Evaluation(metrics={"top1": 1.0}, clips=3, robustness=robust, **fields)
    card = write_card(Facts("net/1", "0" * 64, scored, Decimal("0.1")), info(), [figures()])
    results = section_of(card, "Held-out results")
    assert "Only 3 test clips, so this says little: even if all were right, up to 63% of other clips may fail." in results
    assert (
        "Robustness: top-1 1.000 on 9 images of 3 clips, 0.550 on average over 2 ways of worse; dark_3 costs most (0.200)."
        in results
    )
    assert "How another background changes its answers was not measured" in section_of(card, "Limits")
    assert missing_from(card) == []
    bare = write_card(Facts("net/1", "0" * 64, scored.model_copy(update={"clips": 5, "robustness": None}), None), info())
    assert "says little" not in bare
    assert "How light, background or camera change its answers was not measured" in bare


def test_the_card_of_a_detector_from_elsewhere_is_complete_without_scores_but_not_without_parity() -> None:
    about = info(task="detect", preprocess=Preprocess(size=64, **LETTERBOX), trainer="yolo")
    facts = Facts("shapes/1", "0" * 64, None, None)
    assert missing_from(write_card(facts, about)) == ["parity"]
    card = write_card(facts, about, [figures(map_difference=0.004)])
    assert missing_from(card) == []
    assert "Not evaluated." in card
    assert "| onnx | 20 | 1.000 | 4e-03 | yes |" in card
    assert "- licence: AGPL-3.0" in card


def test_the_card_of_a_detector_that_was_trained_here_needs_its_scores() -> None:
    about = info(task="detect", preprocess=Preprocess(size=64, **LETTERBOX))
    facts = Facts("shapes/1", "0" * 64, None, Decimal("0.01"))
    parity = [figures(map_difference=0.004)]
    assert missing_from(write_card(facts, about, parity)) == ["results", "classes"]
    classes = [ClassScore(label="cup", precision=0.5, recall=0.8, f1=0.6, support=5, ap=0.4, ap50=0.7)]
    fields = {"dataset": "d", "split": "test", "images": 9, "clips": 3, "interval": (0.3, 0.5), "confusion": []}
    metrics = {"map50_95": 0.4, "map50": 0.7, "precision": 0.5, "recall": 0.8}
    scored = Evaluation(task="detect", classes=classes, metrics=metrics, **fields)
    card = write_card(replace(facts, evaluation=scored), about, parity)
    assert missing_from(card) == []
    assert "mAP50-95 0.400 (95 % interval over clips 0.300 to 0.500) on 9 images of 3 clips" in card
    assert "It missed 20% of the objects, and 50% of what it reported was something else, or nothing." in card
