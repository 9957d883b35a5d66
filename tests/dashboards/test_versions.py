"""Versions in detail: evidence as a file, verification on the page, data set versions, suspected labels, lanes of the timeline."""

from __future__ import annotations

import json
import shutil
import sqlite3
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pandas as pd
from hypothesis import given
from hypothesis import strategies as st
from worlds import MARKUP, entries_of, fill, make_data, page, words

from dashboards.charts import timeline
from dashboards.datasets import LocalDataset, find_dataset
from dashboards.decisions import in_lanes
from dashboards.versions.data import change, version_table
from dashboards.versions.evidence import evidence_json, judged_versions, verify
from registry.events import Exported, about, now
from registry.files import write_json
from registry.opening import ledger_of
from registry.records import ModelVersion
from registry.reports.reviews import Candidate, Review
from registry.settings import Settings

EPOCH = datetime(2026, 11, 1, tzinfo=UTC)


@given(st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 10**6)), min_size=1, max_size=40))
def test_two_events_of_a_model_that_are_close_lie_in_lanes_of_their_own(events: list[tuple[str, int]]) -> None:
    table = pd.DataFrame([(EPOCH + timedelta(seconds=at), model) for model, at in events], columns=["when", "model"])
    placed = in_lanes(table)
    assert len(placed) == len(events)
    near = (placed["when"].max() - placed["when"].min()) / 50
    for _, rows in placed.groupby(["model", "lane"]):
        gaps = rows["when"].sort_values().diff().dropna()
        crowded = placed[placed["model"] == rows["model"].iloc[0]]["lane"].nunique() == 10
        assert crowded or (gaps > near).all()


def test_a_timeline_of_nothing_and_of_one_moment_is_drawn() -> None:
    columns = ["when", "model", "version", "what", "who", "text"]
    moment = pd.DataFrame([(EPOCH, "m", "m/1", "promoted", "ada", "x")] * 3, columns=columns)
    assert sorted(in_lanes(moment)["lane"]) == [0, 1, 2]
    assert timeline(in_lanes(moment)).to_dict()
    assert in_lanes(moment.head(0)).empty


def test_a_version_s_evidence_comes_down_whole(tmp_path: Path) -> None:
    fill(tmp_path, MARKUP)
    entries = entries_of(tmp_path)
    assert judged_versions(entries) == [f"{MARKUP}/2", f"{MARKUP}/1"], "the newest attempt first"
    document = json.loads(evidence_json(entries, f"{MARKUP}/2"))
    assert [attempt["event"]["stage"] for attempt in document["attempts"]] == ["staging", "production"]
    assert document["attempts"][0]["row"] < document["attempts"][1]["row"]


def test_what_was_verified_stays_on_the_page_with_its_date(home: Path) -> None:
    fill(home)
    shown = page("registry")
    (button,) = (button for button in shown.button if button.label == "Verify")
    button.click().run()
    assert not shown.exception, shown.exception
    (held,) = shown.success
    assert "rows, each with the hash of the one before" in held.value.replace("\\", "")
    assert f"{now():%Y-%m-%d}" in held.value
    assert any("bundle b is not on this machine" in error.value for error in shown.error)
    shown.run()
    assert shown.success, "it stays when the page is drawn again"
    (code,) = (block for block in shown.code if "verify" in block.value)
    assert code.value == "modelyard verify hand/2"


def test_verification_names_a_row_and_a_file_that_were_changed(tmp_path: Path, make_bundle) -> None:
    fill(tmp_path)
    settings, version = Settings(home=tmp_path), about(ModelVersion("hand", 10, 10), "d")
    digest = make_bundle(tmp_path / "made").index.digest
    shutil.copytree(tmp_path / "made", settings.bundles / digest)
    ledger_of(settings).append(Exported(**version, bundle=digest, path="p", megabytes=1, parity=[], latency=None))
    at, entries = now(), entries_of(tmp_path)
    assert [check.holds for check in verify(settings, entries, "hand/10", at)] == [True, True]
    assert [check.holds for check in verify(settings, entries, "hand/1", at)] == [True, True], "it was not exported"
    (settings.bundles / digest / "labels.json").write_text('["x"]')
    good, bad = verify(settings, entries, "hand/10", at)
    assert (good.holds, bad.holds) == (True, False)
    assert "labels.json" in bad.text
    with sqlite3.connect(tmp_path / "ledger.db") as database:
        database.execute("DROP TRIGGER ledger_no_update")
        database.execute("UPDATE ledger SET body = replace(body, 'ada', 'eve')")
    tampered = verify(settings, entries, "hand/10", at)[0]
    assert not tampered.holds


def dataset_of(folder: Path, frames: list[tuple[str, str, str]], parent: str = "", version: int = 1) -> LocalDataset:
    """A manifest alone: frames are (bytes' digest, split, label)."""
    rows = [{"file": f"{sha}.jpg", "sha256": sha, "split": split, "label": label, "clip": sha} for sha, split, label in frames]
    write_json(
        folder / "manifest.json",
        {"labels": ["a", "b"], "source": "clips", "frames": rows, "version": version, "parent": parent},
    )
    return LocalDataset(folder)


def test_versions_of_a_data_set_say_what_changed(tmp_path: Path) -> None:
    first = dataset_of(tmp_path / "1", [("x", "train", "a"), ("y", "test", "b"), ("z", "train", "a")])
    second = dataset_of(tmp_path / "2", [("x", "train", "b"), ("y", "val", "b"), ("w", "train", "a")], first.digest, 2)
    assert str(change(first, second)) == "1 added, 1 removed, 1 in another split, 1 relabelled"
    assert str(change(first, first)) == "the same images"
    copies = dataset_of(tmp_path / "3", [("x", "train", "a"), ("x", "test", "a"), ("y", "test", "b"), ("z", "train", "a")])
    assert str(change(copies, first)) == "1 removed", "of two copies one is left"
    assert str(change(first, copies)) == "1 added"
    damaged = LocalDataset(tmp_path / "3")
    del damaged.frames[0]["sha256"], damaged.frames[0]["clip"]
    assert change(damaged, first).removed == 1
    assert len(version_table(damaged, lambda _: None)) == 1
    table = version_table(second, {first.digest: first}.get)
    assert list(table["version"]) == [2, 1]
    assert list(table["change"]) == ["1 added, 1 removed, 1 in another split, 1 relabelled", "the first version"]
    alone = version_table(second, lambda _: None)
    assert alone["change"][0] == f"the version before, {first.digest[:12]}, is not on this machine"
    forged = LocalDataset(tmp_path / "1")
    forged.parent = forged.digest
    assert len(version_table(forged, lambda _: forged)) == 1, "a manifest that names itself as the one before"


def test_the_data_page_shows_suspected_labels_and_takes_no_markup_of_them(home: Path) -> None:
    digest = make_data(home)
    dataset = find_dataset(home / "datasets", digest)
    assert dataset is not None
    frame = dataset.frames[0]
    fields = {"kind": "label-error", "file": frame["file"], "sha256": frame["sha256"], "label": frame["label"]}
    review = Review.of(home, digest)
    review.suggest("label-error", [Candidate(**fields, suggested=MARKUP, score=0.9, by="x")])
    shown = page("data")
    assert not shown.exception, shown.exception
    assert "Suspected wrong labels" in [head.value for head in shown.subheader]
    assert "1 in all. The Review page decides about each" in words(shown)
    (captions,) = [[image.caption for image in block.proto.imgs] for block in shown.get("imgs") or shown.get("image")][:1]
    assert any("script" in caption for caption in captions)
    assert not any("<script>" in caption for caption in captions)
