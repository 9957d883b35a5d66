"""Which folders of bundles stay when an export fails, was killed, or is followed by another."""

from __future__ import annotations

import sys
from decimal import Decimal
from pathlib import Path

import pytest

from pipelines.bundles.store import open_exported, smoke_folder
from registry.errors import StorageError
from registry.events import Deployed, Exported
from registry.promotion.context import PromotionContext
from registry.stages import Stage

sys.path.insert(0, str(Path(__file__).parent))
from fake_export import Model, Shop, about_of, export, job, quiet, shelf


def test_where_it_cannot_be_shown_the_bundle_before_still_stands_alone(
    shop: Shop, context: PromotionContext, model: Model, converted: list[list[str]]
) -> None:
    version = model()
    first = export(shop, context, job(), version.ref, quiet)
    before = shelf(shop)
    shop.broken.append("has no room")
    with pytest.raises(StorageError, match="MLflow: has no room"):
        export(shop, context, job(), version.ref, quiet, ["onnx-int8"])
    assert open_exported(first).index.digest == first.bundle
    assert shelf(shop) == before
    shop.broken.clear()
    second = export(shop, context, job(), version.ref, quiet, ["onnx-int8"])
    assert shelf(shop) == {Path(second.path).name, f"{Path(second.path).name}.smoke"}
    assert [entry.event.bundle for entry in context.ledger.entries() if isinstance(entry.event, Exported)] == [
        first.bundle,
        second.bundle,
    ]


def test_a_bundle_that_was_deployed_stays_until_it_is_exported_no_more(
    shop: Shop, context: PromotionContext, model: Model, converted: list[list[str]]
) -> None:
    version = model()
    first = export(shop, context, job(), version.ref, quiet)
    fields = {"stage": Stage.STAGING, "target": "local", "url": "u", "usd_per_month": Decimal(0), "price_as_of": "today"}
    context.ledger.append(Deployed(**about_of(context, version), **fields, bundle=first.bundle, smoke_images=0))
    second = export(shop, context, job(), version.ref, quiet, ["onnx-int8"])
    third = export(shop, context, job(), version.ref, quiet, ["onnx-float16"])
    assert open_exported(first).index.digest == first.bundle
    assert Path(second.path).name not in shelf(shop)
    assert Path(third.path).name in shelf(shop)


def test_a_bundle_named_after_the_models_bytes_opens_until_the_next_one_is_recorded(
    shop: Shop, context: PromotionContext, model: Model, converted: list[list[str]]
) -> None:
    version = model()
    first = export(shop, context, job(), version.ref, quiet)
    old = Path(first.path).with_name(f"1-{first.digest[:12]}")
    smoke_folder(Path(first.path)).rename(smoke_folder(old))
    Path(first.path).rename(old)
    earlier = first.model_copy(update={"path": str(old)})
    context.ledger.append(earlier)
    assert export(shop, context, job(), version.ref, quiet) == earlier
    later = export(shop, context, job(), version.ref, quiet, ["onnx-int8"])
    assert shelf(shop) == {Path(later.path).name, f"{Path(later.path).name}.smoke"}


def test_what_a_killed_export_left_is_swept_by_the_next_one(
    shop: Shop, context: PromotionContext, model: Model, converted: list[list[str]]
) -> None:
    left = shop.settings.bundles / "digits" / ".1.abcdef" / "bundle"
    left.mkdir(parents=True)
    (left / "model.onnx").write_bytes(b"half")
    exported = export(shop, context, job(), model().ref, quiet)
    assert shelf(shop) == {Path(exported.path).name, f"{Path(exported.path).name}.smoke"}
