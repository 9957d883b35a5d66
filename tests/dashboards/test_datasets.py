"""Datasets: their counts, their files, and the Data page."""

from __future__ import annotations

from pathlib import Path

from worlds import MARKUP, make_data, page

from dashboards.charts import class_counts
from dashboards.datasets import LocalDataset, find_dataset, imbalances, local_datasets
from registry.files import read_json, write_json


def test_a_dataset_says_what_is_missing_and_what_is_rare(tmp_path: Path) -> None:
    make_data(tmp_path)
    local = local_datasets(tmp_path / "datasets")[0]
    assert imbalances(local.counts()) == []
    local.frames = [frame for frame in local.frames if frame["label"] == "a" or frame["split"] == "train"]
    local.frames += [dict(frame) for frame in local.frames if frame["label"] == "a"] * 2
    lines = imbalances(local.counts())
    assert "Class 'b' has no frames in val." in lines
    assert "Class 'b' has 3 frames, but 'a' has 18." in lines
    assert class_counts(local.counts()).to_dict()
    assert LocalDataset(tmp_path / "datasets" / "hand").digest == local.digest


def test_the_data_page_shows_counts_frames_and_check_results(home: Path) -> None:
    digest = make_data(home)
    shown = page("data")
    assert not shown.exception
    assert [metric.value for metric in shown.metric] == ["12", "12", "2", "not run"]
    assert len(shown.get("image")[0].proto.imgs) == 6
    report = {
        "dataset": digest,
        "findings": [{"outcome": "warning", "text": MARKUP}],
        "spread": {"brightness": {"edges": [0, 1], "frames": [12]}},
    }
    write_json(home / "reports" / "other" / "report.json", report | {"dataset": "x"})
    assert not page("data").dataframe
    write_json(home / "reports" / "hand" / "report.json", report)
    (home / "reports" / "hand" / "report.json").touch()
    assert list(page("data").dataframe[0].value["outcome"]) == ["warning"]
    for broken in ("{", '{"dataset": 3}', "[]"):
        (home / "reports" / "hand" / "report.json").write_text(broken)
        assert not page("data").exception
    (home / "datasets" / "broken").mkdir()
    (home / "datasets" / "broken" / "manifest.json").write_text('{"labels": 3}')
    assert not page("data").exception


def test_a_forged_manifest_shows_no_other_file_of_this_machine(home: Path) -> None:
    make_data(home)
    (home / "secret.jpg").write_bytes(b"x")
    manifest = home / "datasets" / "hand" / "manifest.json"
    forged = read_json(manifest)
    forged["frames"][0]["file"] = "../../secret.jpg"
    write_json(manifest, forged)
    assert LocalDataset(manifest.parent).frame_path("../../secret.jpg") is None
    assert not page("data").exception


def test_a_dataset_that_is_kept_by_digest_is_found_without_reading_the_others(tmp_path: Path) -> None:
    digest, root = make_data(tmp_path), tmp_path / "datasets"
    kept = root / "by-digest" / digest

    def found(name: str = digest) -> Path | None:
        dataset = find_dataset(root, name)
        return dataset.folder if dataset else None

    assert found() == root / "hand"
    kept.mkdir(parents=True)
    assert found() == root / "hand"
    manifest = (root / "hand" / "manifest.json").read_bytes()
    (kept / "manifest.json").write_bytes(manifest)
    assert found() == kept
    (kept / "manifest.json").write_bytes(manifest.replace(b"hand", b"other").replace(b'"a"', b'"z"'))
    assert found() == root / "hand"
    (root / "hand").rename(tmp_path / "elsewhere")
    assert found() is None
    assert found("../../elsewhere") is None
