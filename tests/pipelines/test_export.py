"""Exporting: what is found instead of made, what stays when something fails, and what a killed export leaves."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest

from pipelines.bundles import export as exporting
from pipelines.bundles.export import Exporter, ExportHook
from pipelines.bundles.store import BundleStore, open_exported, smoke_folder
from pipelines.data.catalog import DatasetCatalog
from pipelines.data.dataset import DataSet
from pipelines.deployment.targets import Targets
from pipelines.job.jobfile import Job, parse_job
from registry.errors import InputError, StorageError
from registry.events import Deployed, Evaluated, Exported, HookFailed, Scanned, Trained, about
from registry.files import write_atomic, write_json
from registry.lease import FileLeases
from registry.memory import MemoryLedger, MemoryStore
from registry.promotion.context import PromotionContext
from registry.promotion.promote import promote
from registry.promotion.state import fold
from registry.promotion.verdict import digest_version
from registry.records import Actor, ClassScore, Evaluation, Evidence, Finding, ModelVersion, SliceScore
from registry.refs import Ref
from registry.settings import Settings
from registry.stages import Stage
from serving.bundle.bundle import open_bundle
from serving.bundle.modelinfo import ModelInfo, write_info
from serving.bundle.preprocess import Preprocess
from serving.bundle.seal import BundleIndex, seal
from serving.bundle.variants import variant_spec
from serving.export.card import section_of, write_card
from serving.export.parity import compare, failed, judge
from serving.export.request import Built, ExportRequest, Measured

ADA = Actor("ada", proven=True)
Model = Callable[..., ModelVersion]


@dataclass
class Run:
    """An experiment tracker and its one run: a list of what was shown, or broken."""

    seen: list[str] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)

    @contextmanager
    def resume(self, run_id: str) -> Iterator[Run]:
        if self.broken:
            raise StorageError("MLflow", self.broken[0], "free some space")
        yield self

    def folder(self, folder: Path, path: str) -> None:
        self.seen.append(path)

    def metrics(self, values: dict[str, float]) -> None:
        self.seen.extend(values)


class Shop:
    """A home whose experiment tracker is a list, and its exporter."""

    def __init__(self, settings: Settings, context: PromotionContext) -> None:
        self.settings, self.run = settings, Run()
        bundles, datasets = BundleStore(settings.bundles, context.ledger), DatasetCatalog(settings.datasets)
        in_use = lambda: [live.source for live in Targets(settings).local().list()]  # noqa: E731
        parts = (context.store, context.ledger, bundles, datasets, lambda _: self.run, in_use, settings)
        self.exporter = Exporter(*parts, quiet)

    @property
    def seen(self) -> list[str]:
        return self.run.seen

    @property
    def broken(self) -> list[str]:
        return self.run.broken


def export(
    shop: Shop, _: PromotionContext, job: Job, ref: Ref, say: Callable[[str], None], names: Sequence[str] = ()
) -> Exported:
    return replace(shop.exporter, say=say).export(ref, job, names)


@pytest.fixture
def shop(tmp_path: Path, dataset: DataSet, context: PromotionContext, monkeypatch: pytest.MonkeyPatch) -> Shop:
    made = Shop(Settings(home=tmp_path / "home", parity_images=8), context)
    made.exporter.datasets.add(dataset)
    find = exporting.find_tools
    without_node = lambda settings, *, tfjs, tensorflow=False: find(settings, tfjs=False, tensorflow=tensorflow)  # noqa: E731
    monkeypatch.setattr(exporting, "find_tools", without_node)
    return made


@pytest.fixture
def context(tmp_path: Path) -> PromotionContext:
    return PromotionContext(MemoryStore(), MemoryLedger(), FileLeases(tmp_path / "leases"))


@pytest.fixture
def model(context: PromotionContext, dataset: DataSet, tmp_path: Path) -> Model:
    """Registers a version; the same `name` gives the same bytes."""

    def register(name: str = "one", framework: str = "torch") -> ModelVersion:
        folder = tmp_path / "models" / name
        if not folder.exists():
            (folder / "data").mkdir(parents=True)
            (folder / "data" / ("model.pt2" if framework == "torch" else "model.keras")).write_text(f"weights {name}")
            about = {"trainer": framework, "arch": "tiny", "framework": framework, "preprocess": Preprocess(size=32)}
            write_info(folder, ModelInfo(**about, labels=dataset.manifest.labels, dataset=dataset.manifest.digest))
        version = context.store.register("digits", folder, run_id="run")
        spent = {"seconds": 1, "hardware": "here", "usd": Decimal("0.1"), "price_as_of": "2026-11-23", "actor": "ada"}
        fields = {"trainer": framework, "run_id": "run", "dataset": dataset.manifest.digest}
        context.ledger.append(Trained(**about_of(context, version), **fields, **spent))
        return version

    return register


@pytest.fixture
def converted(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """Converters that take no time: what they were asked for. A variant named in their `cannot` is not made."""
    asked: list[list[str]] = []

    def convert(order: ExportRequest, folder: Path, tools: object, say: Callable[[str], None]) -> Built:
        names = [wanted.variant.name for wanted in order.wanted]
        asked.append(names)
        info, random = order.reference.info, np.random.default_rng(0)
        trained = random.dirichlet(np.full(len(info.labels), 0.3), len(order.images)).astype(np.float32)
        parity = []
        for wanted in order.wanted:
            if wanted.variant.name in CANNOT and wanted.required:
                raise InputError(wanted.variant.name, "cannot be made", "leave it out")
            made = wanted.variant.name not in CANNOT
            figures = (
                judge(compare(wanted.variant.name, trained, trained), wanted) if made else failed(wanted, 8, "cannot be made")
            )
            parity.append(figures)
            if made:
                write_atomic(folder / wanted.variant.path, f"{wanted.variant.name} of {order.facts.digest}".encode())
        write_json(folder / "preprocess.json", {"size": 32})
        write_json(folder / "labels.json", info.labels)
        write_atomic(folder / "card.md", write_card(order.facts, info, parity).encode())
        number = int(order.facts.label.rpartition("/")[2])
        seal(folder, BundleIndex(model="digits", version=number, model_digest=order.facts.digest, files={}, tools={}))
        return Built(open_bundle(folder), parity, None, Measured(trained))

    CANNOT.clear()
    monkeypatch.setattr(exporting, "build_bundle", convert)
    monkeypatch.setattr(exporting, "write_report", lambda folder, *_: write_json(folder / "parity.json", []))
    return asked


CANNOT: set[str] = set()


class Passes:
    """A gate that lets everything through."""

    kind = "passes"

    def judge(self, evidence: Evidence) -> list[Finding]:
        return [Finding(gate="passes", passed=True, text="as told")]


def about_of(context: PromotionContext, version: ModelVersion) -> dict[str, object]:
    return about(version, digest_version(context.store, version))


def job(*exports: dict[str, object]):
    raw = {"model": "digits", "train": [{"kind": "torch"}], "export": list(exports) or [{"kind": "onnx"}]}
    gate = {"kind": "metric", "name": "top1", "at_least": 0.5}
    return parse_job(raw | {"gates": {"staging": [gate], "production": [gate]}}, "test")


def quiet(_: str) -> None:
    return


def shelf(shop: Shop) -> set[str]:
    return {folder.name for folder in (shop.settings.bundles / "digits").iterdir()}


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


def test_what_a_killed_export_left_is_swept_by_the_next_one(
    shop: Shop, context: PromotionContext, model: Model, converted: list[list[str]]
) -> None:
    left = shop.settings.bundles / "digits" / ".1.abcdef" / "bundle"
    left.mkdir(parents=True)
    (left / "model.onnx").write_bytes(b"half")
    exported = export(shop, context, job(), model().ref, quiet)
    assert shelf(shop) == {Path(exported.path).name, f"{Path(exported.path).name}.smoke"}


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


def test_the_bundle_and_what_was_measured_are_shown_on_the_training_run(
    shop: Shop, context: PromotionContext, model: Model, converted: list[list[str]]
) -> None:
    exported = export(shop, context, job(), model().ref, quiet)
    assert shop.seen == [f"bundle/{exported.bundle[:12]}", "parity", "bundle_mb", "parity_onnx_max_abs_diff"]
    expected = json.loads((smoke_folder(Path(exported.path)) / "expected.json").read_text())
    assert {image["truth"] for image in expected["images"]} == set(expected["labels"])


def test_production_asks_for_what_the_job_requires_also_where_it_names_no_parity_gate() -> None:
    asked = job(
        {"kind": "onnx"}, {"kind": "tfjs", "max_abs_diff": 0.5}, {"kind": "onnx", "quantize": "int8", "required": False}
    )
    assert [gate.kind for gate in asked.gates_of(Stage.STAGING)] == ["metric"]
    assert [gate.kind for gate in asked.gates_of(Stage.PRODUCTION)] == ["metric", "parity"]
    gate = asked.gates_of(Stage.PRODUCTION)[-1]
    same = np.random.default_rng(0).dirichlet([0.3, 0.3, 0.3], 8).astype(np.float32)
    kept = [judge(compare(name, same, same), variant_spec(name)) for name in ("onnx", "tfjs-float16")]
    lost = [
        failed(variant_spec("onnx-int8", required=False), 8, "cannot be made"),
        failed(variant_spec("tfjs-float16"), 8, "cannot be made"),
    ]
    fields = {"model": "digits", "version": 1, "created_ms": 1, "digest": "d"}
    for parity, message in (
        ([], "no parity of these bytes"),
        (kept[:1], "tfjs-float16 was not exported"),
        ([kept[0], lost[1]], "tfjs-float16 is not in the bundle: cannot be made"),
        ([*kept, lost[0]], None),
    ):
        against = [finding.text for finding in gate.judge(Evidence(**fields, parity=parity)) if not finding.passed]
        assert (against == []) if message is None else (len(against) == 1 and message in against[0])


def test_production_without_any_gate_gets_none_and_a_parity_gate_of_the_jobs_own_stays_alone() -> None:
    raw = {"model": "digits", "train": [{"kind": "torch"}]}
    assert parse_job(raw, "test").gates_of(Stage.PRODUCTION) == ()
    own = parse_job(raw | {"gates": {"production": [{"kind": "parity", "images": 20}]}}, "test")
    assert [gate.images for gate in own.gates_of(Stage.PRODUCTION)] == [20]
