"""Where a version comes from, and what is other than in the version before."""

from __future__ import annotations

import json
import re
from decimal import Decimal
from pathlib import Path

import pytest
from worlds import MARKUP, a_run, entries_of, fill, fill_runs, make_data, page, words

from dashboards.datasets import LocalDataset, find_dataset
from dashboards.versions.lineage import Step, lineage, trained_versions
from registry.events import Exported, Trained, about
from registry.opening import ledger_of
from registry.records import ModelVersion, ParityFigures
from registry.settings import Settings


def steps(home: Path, label: str, runs: list | None = None) -> dict[str, Step]:
    def find(digest: str) -> LocalDataset | None:
        return find_dataset(home / "datasets", digest)

    return {step.name: step for step in lineage(entries_of(home), label, runs or [], find)}


def train(home: Path, number: int, dataset: str, trainer: str = "torch") -> None:
    version = about(ModelVersion("hand", number, number), "d")
    run = {"run_id": f"{number:032x}", "dataset": dataset, "seconds": 60, "hardware": "local: this machine"}
    ledger_of(Settings(home=home)).append(
        Trained(**version, trainer=trainer, usd=Decimal("0.0008"), price_as_of="2026-11-22", **run)
    )


def export(home: Path, number: int, variants: tuple[str, ...], megabytes: float) -> None:
    figures = {"images": 200, "top1_agreement": 1.0, "max_abs_diff": 1e-5, "mean_abs_diff": 1e-6, "control_agreement": 0.1}
    parity = [ParityFigures(variant=variant, control_max_abs_diff=0.9, **figures) for variant in variants]
    version = about(ModelVersion("hand", number, number), "d")
    ledger_of(Settings(home=home)).append(
        Exported(**version, bundle="b" * 64, path="p", megabytes=megabytes, parity=parity, latency=None)
    )


def test_a_version_is_followed_from_its_clips_to_its_endpoint(tmp_path: Path) -> None:
    fill(tmp_path, dataset=make_data(tmp_path))
    mine = steps(tmp_path, "hand/2")
    assert list(mine) == ["Clips", "Data set", "Run", "Version", "Bundle", "Endpoint"]
    assert mine["Clips"] == Step("Clips", "12 of 2 classes", "the same")
    assert mine["Data set"] == Step("Data set", "hand, 12 images", "the same")
    assert mine["Run"].text.startswith("torch, 60 s on local: this machine, $0.0008 (run 00000000)")
    assert mine["Version"] == Step("Version", "hand/2, top-1 0.970 (0.700 to 0.990), serving production", "+0.170")
    assert mine["Bundle"].text == "b, 2.5 MB: onnx"
    assert mine["Endpoint"].text == "production: local, http://127.0.0.1:1"
    assert steps(tmp_path, "hand/1")["Version"].difference == "", "nothing came before it"
    assert steps(tmp_path, "hand/10")["Version"].difference == "-0.070"
    assert steps(tmp_path, "hand/10")["Bundle"].text == "not exported"
    assert steps(tmp_path, "hand/3") == {}
    assert trained_versions(entries_of(tmp_path)) == ["hand/10", "hand/2", "hand/1"]


def test_what_changed_is_named_at_each_step(tmp_path: Path) -> None:
    old = make_data(tmp_path)
    (tmp_path / "datasets" / "by-digest").mkdir()
    (tmp_path / "datasets" / "hand").rename(tmp_path / "datasets" / "by-digest" / old)
    new = make_data(tmp_path, ("a", "b", "c"))
    for file in (tmp_path / "datasets" / "by-digest" / old / "manifest.json", tmp_path / "datasets" / "hand" / "manifest.json"):
        manifest = json.loads(file.read_text())
        for number, frame in enumerate(manifest["frames"]):
            frame["sha256"] = f"{number:064x}"
        file.write_text(json.dumps(manifest))
    old, new = (LocalDataset(tmp_path / "datasets" / name).digest for name in (f"by-digest/{old}", "hand"))
    (tmp_path / "datasets" / "by-digest" / next((tmp_path / "datasets" / "by-digest").iterdir()).name).rename(
        tmp_path / "datasets" / "by-digest" / old
    )
    train(tmp_path, 1, old)
    train(tmp_path, 2, new)
    train(tmp_path, 3, new, trainer="yolo")
    train(tmp_path, 4, "f" * 64)
    export(tmp_path, 1, ("onnx", "tfjs-uint8"), 4.0)
    export(tmp_path, 2, ("onnx", "litert-float32"), 2.5)
    runs = [
        a_run(1, params={"lr0": "0.1", "epochs": "5", "data_digest": "x"}),
        a_run(2, params={"lr0": "0.2", "data_digest": "y"}),
    ]
    second = steps(tmp_path, "hand/2", runs)
    assert second["Clips"].difference == "+6 clips"
    assert second["Data set"].difference == "+6 images"
    assert second["Run"].difference == "epochs: 5 → none, lr0: 0.1 → 0.2"
    assert second["Bundle"].difference == "+1 variant, -1 variant, -1.5 MB"
    assert steps(tmp_path, "hand/3")["Run"].difference == "trainer: torch → yolo"
    assert steps(tmp_path, "hand/4")["Data set"] == Step("Data set", "ffffffffffff, not on this machine", "another")


@pytest.mark.parametrize("name", [MARKUP, "x" * 200])
def test_the_registry_draws_it_whatever_anything_is_called(name: str, home: Path) -> None:
    fill(home, name, dataset=make_data(home, (name[:60].replace("/", ""), "b")))
    fill_runs(home, [a_run(1, params={name: name}), a_run(2, params={name: "2"})])
    shown = page("registry")
    assert not shown.exception, shown.exception
    assert not [part.value for part in (*shown.markdown, *shown.caption) if re.search(r"(?<!\\)(<script|!\[)", part.value)]
    assert "Since the version before" in words(shown)
