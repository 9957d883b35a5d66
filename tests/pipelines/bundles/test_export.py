"""Exporting: what exists already is not converted again, and a converter that fails ends the hook with one line."""

from __future__ import annotations

import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from pipelines.bundles.export import ExportHook
from pipelines.bundles.store import open_exported, smoke_folder
from registry.errors import InputError
from registry.events import Exported, HookFailed
from registry.promotion.context import PromotionContext
from registry.promotion.promote import promote
from registry.promotion.state import fold
from registry.stages import Stage

sys.path.insert(0, str(Path(__file__).parent))
from fake_export import ADA, CANNOT, Model, Passes, Shop, export, job, quiet, shelf


def test_what_was_exported_is_found_within_a_second_and_not_converted_or_recorded_again(
    shop: Shop, context: PromotionContext, model: Model, converted: list[list[str]]
) -> None:
    version = model()
    first = export(shop, context, job(), version.ref, quiet)
    rows, lines = len(context.ledger.entries()), list[str]()
    began = time.monotonic()
    assert export(shop, context, job(), version.ref, lines.append) == first
    assert time.monotonic() - began < 1
    assert converted == [["onnx"]]
    assert len(context.ledger.entries()) == rows
    assert lines == ["digits/1: the bundle of these bytes is valid"]
    assert Path(first.path).name == f"1-{first.bundle[:12]}"


def test_a_variant_that_nobody_requires_and_that_failed_is_not_tried_each_time(
    shop: Shop, context: PromotionContext, model: Model, converted: list[list[str]]
) -> None:
    version, optional = model(), {"kind": "onnx", "quantize": "int8", "required": False}
    CANNOT.add("onnx-int8")
    first = export(shop, context, job(optional), version.ref, quiet)
    assert next(figures.note for figures in first.parity if figures.variant == "onnx-int8") == "cannot be made"
    assert export(shop, context, job(optional), version.ref, quiet) == first
    assert len(converted) == 1
    with pytest.raises(InputError, match="onnx-int8: cannot be made"):  # who asks for it by name wants it tried
        export(shop, context, job(optional), version.ref, quiet, ["onnx-int8"])
    CANNOT.clear()
    again = export(shop, context, job(optional), version.ref, quiet, ["onnx-int8"])
    assert all(figures.kept for figures in again.parity)


def test_variants_that_were_asked_for_by_name_add_up(
    shop: Shop, context: PromotionContext, model: Model, converted: list[list[str]]
) -> None:
    version = model()
    export(shop, context, job(), version.ref, quiet, ["onnx-int8"])
    both = export(shop, context, job(), version.ref, quiet, ["onnx-float16"])
    assert set(open_exported(both).variants) == {"onnx", "onnx-int8", "onnx-float16"}
    assert export(shop, context, job(), version.ref, quiet) == both
    assert len(converted) == 2


def test_the_bundle_of_another_version_with_the_same_bytes_is_taken_over(
    shop: Shop, context: PromotionContext, model: Model, converted: list[list[str]]
) -> None:
    older, newer = model(), model()
    first, second = (export(shop, context, job(), version.ref, quiet) for version in (older, newer))
    assert len(converted) == 1
    bundle = open_exported(second)
    assert (bundle.index.version, second.identity, second.parity) == (2, newer.identity, first.parity)
    assert (bundle.folder / "card.md").read_text().startswith("# digits/2\n")
    assert bundle.onnx.samefile(open_exported(first).onnx)
    changed = {name for name, digest in bundle.index.files.items() if open_exported(first).index.files[name] != digest}
    assert changed == {"card.md"}
    assert (smoke_folder(bundle.folder) / "expected.json").exists()
    assert export(shop, context, job(), model("two").ref, quiet).bundle not in {first.bundle, second.bundle}
    assert len(converted) == 2


@pytest.mark.parametrize(
    ("script", "message"), [("sleep 600", "took longer than 1 s"), ("echo boom >&2; exit 3", "exited with 3: boom")]
)
def test_a_converter_that_hangs_or_fails_ends_a_promotions_hook_with_one_line_and_no_bundle(
    shop: Shop, context: PromotionContext, model: Model, tmp_path: Path, script: str, message: str
) -> None:
    stub = tmp_path / "python"
    stub.write_text(f"#!/bin/sh\n{script}\n")
    stub.chmod(0o755)
    slow = Shop(shop.settings.model_copy(update={"tf_python": stub, "converter_seconds": 1}), context)
    version, keras_job = model("keras", "keras"), job()
    context = replace(context, gates={Stage.STAGING: [Passes()]})
    context = replace(context, hooks={Stage.STAGING: [ExportHook(slow.exporter, keras_job)]})
    began = time.monotonic()
    outcome = promote(context, version.ref, Stage.STAGING, ADA)
    assert time.monotonic() - began < 30
    (failure,) = outcome.pending
    assert isinstance(failure, HookFailed)
    assert (failure.hook, failure.attempt) == ("export", 1)
    assert message in failure.reason
    assert "\n" not in failure.reason
    assert fold(context.ledger.entries("digits")).stage_of(version.identity) is Stage.STAGING
    assert not [entry for entry in context.ledger.entries() if isinstance(entry.event, Exported)]
    assert shelf(shop) == set()
