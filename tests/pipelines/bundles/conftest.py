"""A home for exports, models in it, and converters that take no time."""

from __future__ import annotations

import sys
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest

from pipelines.bundles import export as exporting
from pipelines.data.dataset import DataSet
from registry.errors import InputError
from registry.events import Trained
from registry.files import write_atomic, write_json
from registry.lease import FileLeases
from registry.memory import MemoryLedger, MemoryStore
from registry.promotion.context import PromotionContext
from registry.records import ModelVersion
from registry.settings import Settings
from serving.bundle.bundle import open_bundle
from serving.bundle.modelinfo import ModelInfo, write_info
from serving.bundle.preprocess import Preprocess
from serving.bundle.seal import BundleIndex, seal
from serving.export.card import write_card
from serving.export.parity import compare, failed, judge
from serving.export.request import Built, ExportRequest, Measured

sys.path.insert(0, str(Path(__file__).parent))
from fake_export import CANNOT, Model, Shop, about_of


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
