"""A data set that something was trained on is there, byte for byte, whatever `frames` makes later."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from pipelines.data.build import build_dataset
from pipelines.data.catalog import DatasetCatalog
from pipelines.data.dataset import DataSet
from pipelines.job.jobfile import Data
from registry.files import write_json


def quiet(*_: object) -> None:
    return


@pytest.fixture
def catalog(tmp_path: Path) -> DatasetCatalog:
    return DatasetCatalog(tmp_path / "home" / "datasets")


@pytest.fixture
def plain(catalog: DatasetCatalog, clips: Path) -> DataSet:
    """As an older release made it: kept nowhere."""
    return build_dataset(Data(clips=clips), catalog.folder_of("hand"), quiet)


@pytest.fixture
def first(catalog: DatasetCatalog, clips: Path) -> DataSet:
    return catalog.build(Data(clips=clips), catalog.folder_of("hand"), quiet)


def test_frames_of_other_clips_leave_the_data_set_behind_a_version(
    catalog: DatasetCatalog, first: DataSet, clips: Path
) -> None:
    digest = first.manifest.digest
    kept = catalog.add(first)
    assert kept.name == "hand"
    second = catalog.build(Data(clips=clips, fps=2), catalog.folder_of("hand"), quiet)
    assert second.manifest.digest != digest
    again = catalog.find(digest, "hand/1")
    again.verify()
    assert (again.folder, again.name) == (kept.folder, "hand")
    assert catalog.find(catalog.add(second).manifest.digest, "hand/2").manifest == second.manifest


def test_a_data_set_that_was_made_where_the_user_said_is_kept_too(catalog: DatasetCatalog, clips: Path, tmp_path: Path) -> None:
    data = catalog.build(Data(clips=clips), tmp_path / "elsewhere", quiet)
    catalog.add(data)
    shutil.rmtree(data.folder)
    catalog.find(data.manifest.digest, "hand/1").verify()


def test_keeping_takes_no_room_twice_and_is_done_once(catalog: DatasetCatalog, first: DataSet) -> None:
    kept = catalog.add(first)
    file = first.manifest.frames[0].file
    assert (kept.folder / file).samefile(first.folder / file)
    before = (kept.folder / "manifest.json").stat()
    assert catalog.add(first).folder == catalog.add(kept).folder == kept.folder
    assert (kept.folder / "manifest.json").stat().st_ino == before.st_ino
    assert [path.name for path in catalog.kept()] == [first.manifest.digest]


def test_where_links_are_not_to_be_had_it_is_a_copy(
    catalog: DatasetCatalog, plain: DataSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    def cannot(*_: object) -> None:
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(Path, "hardlink_to", cannot)
    kept = catalog.add(plain)
    kept.verify()
    file = plain.manifest.frames[0].file
    assert not (kept.folder / file).samefile(plain.folder / file)


def as_older_releases_noted_it(catalog: DatasetCatalog, data: DataSet) -> str:
    digest = data.manifest.digest
    write_json(catalog.root / "by-digest" / f"{digest}.json", {"folder": str(data.folder.absolute())})
    return digest


def test_an_older_home_finds_its_data_set_and_loses_it_to_no_frames(
    catalog: DatasetCatalog, plain: DataSet, clips: Path
) -> None:
    digest = as_older_releases_noted_it(catalog, plain)
    assert catalog.find(digest, "hand/1").folder == plain.folder
    catalog.build(Data(clips=clips, fps=2), catalog.folder_of("hand"), quiet)
    catalog.find(digest, "hand/1").verify()
    assert catalog.owners(digest) is None


def test_every_version_stays_and_names_the_one_before(catalog: DatasetCatalog, first: DataSet, clips: Path) -> None:
    second = catalog.build(Data(clips=clips, fps=2), catalog.folder_of("hand"), quiet)
    assert (first.manifest.version, first.manifest.parent) == (1, "")
    assert (second.manifest.version, second.manifest.parent) == (2, first.manifest.digest)
    again = catalog.build(Data(clips=clips, fps=2), catalog.folder_of("hand"), quiet)
    assert again.manifest == second.manifest, "the same clips are the same version"
    catalog.find(first.manifest.digest, "hand/1").verify()
    assert {path.name for path in catalog.kept()} == {first.manifest.digest, second.manifest.digest}


def test_one_that_is_damaged_where_it_is_kept_is_found_where_it_lay(catalog: DatasetCatalog, first: DataSet) -> None:
    kept = catalog.add(first)
    (kept.folder / "manifest.json").unlink()
    assert catalog.find(first.manifest.digest, "hand/1").folder == first.folder
    catalog.add(first)
    assert catalog.find(first.manifest.digest, "hand/1").folder == kept.folder, "and is kept again at its next use"


def test_a_keeping_that_is_killed_is_done_again(
    catalog: DatasetCatalog, plain: DataSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: object) -> None:
        raise SystemExit

    with monkeypatch.context() as patch, pytest.raises(SystemExit):
        patch.setattr(Path, "hardlink_to", killed)
        catalog.add(plain)
    assert list(catalog.kept()) == []
    catalog.add(plain).verify()


def test_the_newest_data_set_of_a_model_stays_where_it_always_was(catalog: DatasetCatalog, first: DataSet, clips: Path) -> None:
    catalog.add(first)
    same = build_dataset(Data(clips=clips), catalog.root.parent / "plain", quiet)
    here = {path.relative_to(first.folder) for path in first.folder.rglob("*")}
    assert here == {path.relative_to(same.folder) for path in same.folder.rglob("*")}
