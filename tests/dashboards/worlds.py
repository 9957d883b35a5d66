"""Homes for the pages' tests: a ledger with a few decisions, runs in the copy, a dataset, and worse."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING

from registry.digests import canonical, sha256_bytes
from registry.events import Deployed, Evaluated, Exported, Flipped, PolicySet, Promoted, Refused, Trained, about
from registry.files import write_json
from registry.opening import ledger_of
from registry.protocols import Entry
from registry.records import Evaluation, Finding, Latency, Mistake, ModelVersion, ParityFigures
from registry.runs.mirror import RunMirror
from registry.runs.rows import RunRow
from registry.runs.server import RunChanges
from registry.settings import Settings
from registry.stages import Stage

if TYPE_CHECKING:
    from streamlit.testing.v1 import AppTest

DASHBOARDS = Path(__file__).parents[2] / "dashboards"
MARKUP = "<script>alert(1)</script> **bold** ![x](http://127.0.0.1:1/x.png) :red[no] $x$ 🦕"


def fill(home: Path, model: str = "hand", dataset: str = "d") -> None:
    """Three versions; the second is in production, the first was refused, the third never tried."""
    ledger = ledger_of(Settings(home=home))
    for number, score in ((1, 0.8), (2, 0.97), (10, 0.9)):
        version = about(ModelVersion(model, number, number), "d")
        run = {"run_id": f"{number:032x}", "dataset": dataset, "seconds": 60, "hardware": "local: this machine"}
        ledger.append(Trained(**version, trainer="torch", usd=Decimal("0.000834"), price_as_of="2026-11-22", **run))
        wrong = [Mistake(file="test/a/1.jpg", label="a", answer="b", probability=0.9)]
        facts = {"dataset": dataset, "split": "test", "images": 10, "clips": 5, "mistakes": wrong}
        facts |= {"classes": [_score("a"), _score("b")], "confusion": [[4, 1], [0, 5]]}
        ledger.append(Evaluated(**version, evaluation=Evaluation(metrics={"top1": score}, interval=(0.7, 0.99), **facts)))
    finding = Finding(gate="metric", passed=False, text="top1 0.8 is below 0.9", figure=0.8, limit=0.9)
    ledger.append(Refused(**about(ModelVersion(model, 1, 1), "d"), stage=Stage.STAGING, actor="ada", findings=[finding]))
    second = about(ModelVersion(model, 2, 2), "d")
    latency = Latency(p50_ms=1, p95_ms=2, first_ms=30, requests=100)
    figures = {"images": 200, "top1_agreement": 1.0, "max_abs_diff": 1e-5, "mean_abs_diff": 1e-6}
    parity = ParityFigures(variant="onnx", control_agreement=0.1, control_max_abs_diff=0.9, **figures)
    ledger.append(Exported(**second, bundle="b", path="p", megabytes=2.5, parity=[parity], latency=latency))
    passed = [finding.model_copy(update={"passed": True})]
    for stage in (Stage.STAGING, Stage.PRODUCTION):
        ledger.append(Promoted(**second, stage=stage, previous=None, actor="ada", findings=passed))
        ledger.append(Flipped(**second, stage=stage, previous=None, actor="ada"))
    endpoint = {"target": "local", "url": "http://127.0.0.1:1", "bundle": "b", "price_as_of": "2026-11-22", "smoke_images": 8}
    ledger.append(Deployed(**second, stage=Stage.PRODUCTION, usd_per_month=Decimal("36.50"), **endpoint))


def entries_of(home: Path) -> Sequence[Entry]:
    """The rows of a home's ledger, as the pages read them."""
    from dashboards.queries import load_entries

    return load_entries(Settings(home=home))


def budget(home: Path, usd: str, model: str = "hand") -> None:
    """Give a model a budget."""
    job = {"budget": {"usd_per_month": usd}}
    ledger_of(Settings(home=home)).append(PolicySet(model=model, actor="ada", job=job, policy_hash="p"))


def _score(label: str) -> dict[str, object]:
    return {"label": label, "precision": 1.0, "recall": 1.0, "f1": 1.0, "support": 5}


def a_run(number: int, **changes) -> RunRow:
    """A run, with some of its fields changed."""
    fields = {"run_id": f"{number:032x}", "experiment_id": "1", "experiment": "hand", "name": f"torch {number}"}
    fields |= {"status": "FINISHED", "started_ms": 1_760_000_000_000 + number, "ended_ms": None}
    fields |= {"metrics": {"test_top1": 0.5 + number % 50 / 100, "cost_usd": 0.001 * (number % 7), "val_top1": 0.5}}
    return RunRow(**(fields | {"params": {"lr": str(number % 3), "arch": "x"}, "tags": {"mlflow.user": "ada"}} | changes))


class _LastSeenServer:
    """A server that answered once."""

    def __init__(self, rows: list[RunRow]) -> None:
        self._rows = rows

    def changes(self, *_: object, **__: object) -> RunChanges:
        pages: Iterator[list[tuple[str, RunRow]]] = iter([[(row.digest, row) for row in self._rows]])
        return RunChanges("", pages)


def fill_runs(home: Path, rows: list[RunRow], ago_s: float = 0) -> None:
    """Runs as of a sync so long ago; no server answers now."""
    copy = RunMirror.for_home(Settings(home=home))
    copy.sync(_LastSeenServer(rows))
    if ago_s:
        import sqlite3

        with sqlite3.connect(home / "runs.db") as db:
            db.execute("UPDATE state SET value = ? WHERE name = 'at'", (str(time.time() - ago_s),))


def make_data(home: Path, labels: tuple[str, ...] = ("a", "b")) -> str:
    """A dataset of tiny pictures; its digest."""
    from PIL import Image

    folder, frames = home / "datasets" / "hand", []
    for label in labels:
        for split, count in (("train", 3), ("val", 1), ("test", 2)):
            for number in range(1, count + 1):
                file = f"{split}/{label}/{number}.jpg"
                (folder / file).parent.mkdir(parents=True, exist_ok=True)
                Image.new("RGB", (16, 16), (40 * number, 90, 120)).save(folder / file)
                frame = {"file": file, "sha256": "0" * 64, "clip": f"{label}-{split}-{number}", "clip_sha256": "0" * 64}
                frames.append(frame | {"label": label, "split": split, "width": 16, "height": 16})
    manifest = {"labels": sorted(labels), "source": "clips", "frames": frames}
    manifest["split"] = {"by": "clip", "val": 0.2, "test": 0.2, "seed": 0}
    write_json(folder / "manifest.json", manifest)
    return sha256_bytes(canonical(manifest))


def page(name: str, **query: str) -> AppTest:
    """A page as it is made with nothing kept from before; `query` is its address's."""
    import streamlit as st
    from streamlit.testing.v1 import AppTest

    st.cache_data.clear()
    st.cache_resource.clear()
    test = AppTest.from_file(str(DASHBOARDS / "views" / f"{name}.py"), default_timeout=60)
    for key, value in query.items():
        test.query_params[key] = value
    return test.run()


def words(shown: AppTest) -> str:
    """All text on a page."""
    kinds = ("title", "subheader", "markdown", "text", "caption", "info", "warning", "error", "success", "metric")
    elements = (element for kind in kinds for element in shown.get(kind))
    texts = (str(getattr(element, "value", "")) + str(getattr(element, "label", "")) for element in elements)
    return " ".join(texts).replace("\\", "").replace("\u2060", "")
