"""Data checks stop what would make training or evaluation meaningless."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from pipelines.data.checks import check
from pipelines.data.dataset import DataSet
from registry.errors import IntegrityError
from registry.files import read_json
from validation.data.suite import check_frames
from validation.data.table import CheckedFrame, frame_table


@pytest.fixture(scope="module")
def table(dataset: DataSet) -> pd.DataFrame:
    frames = (
        CheckedFrame(dataset.folder / row.file, row.sha256, row.clip, row.clip_sha256, row.label, row.split)
        for row in dataset.manifest.frames
    )
    return frame_table(frames)


def errors(table: pd.DataFrame, docs: Path) -> list[str]:
    return [finding.gate for finding in check_frames(table, ["0", "1", "2"], docs).errors]


def test_a_sound_data_set_holds_and_leaves_a_readable_report(dataset: DataSet, tmp_path: Path) -> None:
    report = check(dataset, tmp_path / "report")
    assert report.holds
    assert len(report.passed) >= 10
    assert "<html" in (report.docs / "index.html").read_text().lower()
    assert [path.name for path in tmp_path.iterdir()] == ["report"]
    report_file = read_json(tmp_path / "report" / "report.json")
    assert report_file["dataset"] == dataset.manifest.digest
    assert {finding["outcome"] for finding in report_file["findings"]} <= {"holds", "warning"}
    assert sum(report_file["spread"]["brightness"]["frames"]) == len(dataset.manifest.frames)


def test_a_clip_in_two_splits_is_leakage(dataset: DataSet, tmp_path: Path) -> None:
    rows = dataset.manifest.frames
    moved = rows[0].clip
    frames = [
        CheckedFrame(dataset.folder / row.file, row.sha256, row.clip, row.clip_sha256, row.label, split)
        for index, row in enumerate(rows)
        for split in ["val" if row.clip == moved and index == 0 else "train" if row.clip == moved else row.split]
    ]
    assert "data.splits_of_clip" in errors(frame_table(frames), tmp_path)


def test_the_same_clip_under_two_names_is_leakage(dataset: DataSet, tmp_path: Path) -> None:
    rows = dataset.manifest.frames
    test_clip = next(row for row in rows if row.split == "test")
    frames = [
        CheckedFrame(dataset.folder / row.file, row.sha256, row.clip, digest, row.label, row.split)
        for row in rows
        for digest in [test_clip.clip_sha256 if row.clip == rows[0].clip else row.clip_sha256]
    ]
    assert rows[0].split != "test"
    assert "data.splits_of_clip" in errors(frame_table(frames), tmp_path)


@pytest.mark.parametrize(
    ("column", "value", "gate"),
    [
        ("label", "9", "data.label"),
        ("split", "holdout", "data.split"),
        ("width", 8, "data.width"),
        ("width", None, "data.width"),
        ("splits_of_frame", 2, "data.splits_of_frame"),
        ("labels_of_frame", 2, "data.labels_of_frame"),
    ],
)
def test_each_error_is_found(table: pd.DataFrame, tmp_path: Path, column: str, value: object, gate: str) -> None:
    broken = table.astype({column: object})
    broken.loc[0, column] = value
    assert gate in errors(broken, tmp_path)


def test_dark_frames_warn_and_do_not_stop(table: pd.DataFrame, tmp_path: Path) -> None:
    dark = table.assign(brightness=1.0)
    report = check_frames(dark, ["0", "1", "2"], tmp_path)
    assert report.holds
    assert "data.brightness" in [finding.gate for finding in report.warnings]


def test_a_frame_whose_bytes_changed_is_named(dataset: DataSet, tmp_path: Path) -> None:
    import shutil

    copy = Path(shutil.copytree(dataset.folder, tmp_path / "copy"))
    victim = copy / dataset.manifest.frames[3].file
    victim.write_bytes(victim.read_bytes() + b"x")
    with pytest.raises(IntegrityError, match=victim.name):
        check(DataSet(copy, dataset.manifest), tmp_path / "report")
    assert not (tmp_path / "report").exists()
