"""Every format that tools export becomes the same data set: classes, splits and boxes."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from folders_of_formats import BOXES, FORMATS, HEIGHT, LABELS, ORDER, SPLITS, WIDTH

from pipelines.data.build import Dealing, write_dataset
from pipelines.data.dataset import DataSet, open_dataset
from pipelines.data.importing.open import left_out_of, opened
from pipelines.job.jobfile import Data, Split


def quiet(*_: object) -> None:
    return


def tree(root: Path) -> dict[str, tuple[bytes, int]]:
    return {
        str(path.relative_to(root)): (path.read_bytes(), path.stat().st_mtime_ns) for path in root.rglob("*") if path.is_file()
    }


def imported(root: Path, target: Path, *, again: bool = False) -> DataSet:
    with opened(root, Data()) as source:
        return write_dataset(source, target, Dealing(Split(), (), again), quiet)


@pytest.mark.parametrize("name", FORMATS)
def test_a_clean_export_is_read_whole_with_its_classes_splits_and_boxes(name: str, tmp_path: Path) -> None:
    write, kind, task, has_splits = FORMATS[name]
    root = tmp_path / "export"
    root.mkdir()
    write(root)
    before = tree(root)
    with opened(root, Data()) as source:
        data = write_dataset(source, tmp_path / "data", Dealing(Split()), quiet)
        assert left_out_of(source) == []
    manifest = open_dataset(data.folder).manifest
    data.verify()
    assert tree(root) == before, "the folder is only read"
    assert (manifest.format, manifest.task, manifest.groups) == (kind, task, "unknown")
    assert manifest.labels == ORDER.get(kind, sorted(LABELS))
    assert manifest.split_from == ("source" if has_splits else "dealt")
    rows = {int(Path(row.source).stem): row for row in manifest.frames}
    assert len(rows) == len(SPLITS) == len(manifest.frames)
    for number, row in rows.items():
        label = number % 2
        assert not has_splits or row.split == SPLITS[number]
        if task == "classify":
            assert (row.label, row.boxes) == (LABELS[label], None)
            continue
        assert row.label == ""
        (box,) = row.boxes or ()
        left, top, right, bottom = BOXES[label]
        assert box.label == LABELS[label]
        assert (box.left, box.right) == pytest.approx((left / WIDTH, right / WIDTH), abs=1e-5)
        assert (box.top, box.bottom) == pytest.approx((top / HEIGHT, bottom / HEIGHT), abs=1e-5)
        assert len(box.source) == 4


@pytest.mark.parametrize("name", [name for name in FORMATS if FORMATS[name][3]])
def test_resplit_deals_all_again_and_each_split_gets_some(name: str, tmp_path: Path) -> None:
    root = tmp_path / "export"
    root.mkdir()
    FORMATS[name][0](root)
    manifest = imported(root, tmp_path / "data", again=True).manifest
    assert manifest.split_from == "dealt"
    have = {(row.split, label) for row in manifest.frames for label in row.labels}
    assert have == {(split, label) for split in ("train", "val", "test") for label in LABELS}


@pytest.mark.parametrize("name", FORMATS)
def test_a_folder_around_it_changes_nothing(name: str, tmp_path: Path) -> None:
    plain, wrapped = tmp_path / "plain", tmp_path / "wrapped" / "My export v2"
    for root in (plain, wrapped):
        root.mkdir(parents=True)
        FORMATS[name][0](root)
    first = imported(plain, tmp_path / "a").manifest
    assert imported(tmp_path / "wrapped", tmp_path / "b").manifest == first
