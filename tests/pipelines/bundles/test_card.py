"""The card in a bundle, and what an export shows on the training run."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from pipelines.bundles.store import smoke_folder
from pipelines.data.dataset import DataSet
from registry.events import Evaluated, Scanned
from registry.promotion.context import PromotionContext
from registry.records import ClassScore, Evaluation, SliceScore
from serving.export.card import section_of

sys.path.insert(0, str(Path(__file__).parent))
from fake_export import Model, Shop, about_of, export, job, quiet


def test_a_card_tells_of_the_data_and_is_written_again_when_scores_come(
    shop: Shop, context: PromotionContext, model: Model, dataset: DataSet, converted: list[list[str]]
) -> None:
    version = model()
    first = export(shop, context, job(), version.ref, quiet)
    card = (Path(first.path) / "card.md").read_text()
    data, frames = section_of(card, "Data"), dataset.manifest.frames
    assert data.startswith(f"`digits`: {len(frames)} images of 18 clips in 3 classes.")
    assert f"| all images | {' | '.join(str(len(dataset.rows(split))) for split in ('train', 'val', 'test'))} |" in data
    assert "| onnx | " in section_of(card, "Exports")
    assert "- licence: not stated" in card
    assert first.card_missing == ["results", "classes"]
    scores = [ClassScore(label=name, precision=1, recall=f1, f1=f1, support=9) for name, f1 in (("a", 0.9), ("b", 0.7))]
    fields = {"images": 18, "clips": 6, "metrics": {"top1": 0.8}, "interval": (0.7, 0.9), "confusion": [[1]]}
    scored = Evaluation(dataset=dataset.manifest.digest, split="test", classes=scores, slices={"dark": SliceScore(images=4, top1=0.5)}, **fields)  # fmt: skip
    context.ledger.append(Evaluated(**about_of(context, version), evaluation=scored))
    second = export(shop, context, job(), version.ref, quiet)
    card = (Path(second.path) / "card.md").read_text()
    assert second.card_missing == []
    assert "Its weakest class is b, with an F1 of 0.700 on 9 images." in card
    assert "In the part 'dark' its top-1 is 0.500, on 4 images." in card
    assert section_of(card, "Data") == data
    assert len(converted) == 1
    assert isinstance(context.ledger.entries()[-1].event, Scanned)
    assert export(shop, context, job(), version.ref, quiet) == second


def test_the_bundle_and_what_was_measured_are_shown_on_the_training_run(
    shop: Shop, context: PromotionContext, model: Model, converted: list[list[str]]
) -> None:
    exported = export(shop, context, job(), model().ref, quiet)
    assert shop.seen == [f"bundle/{exported.bundle[:12]}", "parity", "bundle_mb", "parity_onnx_max_abs_diff"]
    expected = json.loads((smoke_folder(Path(exported.path)) / "expected.json").read_text())
    assert {image["truth"] for image in expected["images"]} == set(expected["labels"])
