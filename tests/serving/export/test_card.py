"""The model card: what it says of the exports, and what makes it complete."""

from __future__ import annotations

import sys
from decimal import Decimal
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
from networks import LETTERBOX, info

from registry.records import ParityFigures
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


def test_a_detectors_card_is_complete_without_scores_that_nobody_can_take_here_but_not_without_parity() -> None:
    about = info(task="detect", preprocess=Preprocess(size=64, **LETTERBOX), trainer="yolo")
    facts = Facts("shapes/1", "0" * 64, None, None)
    assert missing_from(write_card(facts, about)) == ["parity"]
    card = write_card(facts, about, [figures(map_difference=0.004)])
    assert missing_from(card) == []
    assert "Not evaluated: detectors are not scored here." in card
    assert "| onnx | 20 | 1.000 | 4e-03 | yes |" in card
    assert "- licence: AGPL-3.0" in card
