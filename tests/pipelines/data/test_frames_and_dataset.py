"""Clips become frames, frames a data set that is split by clip, whole or not there."""

from __future__ import annotations

import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.data.build import build_dataset
from pipelines.data.dataset import DataSet, open_dataset
from pipelines.data.frames import Sampling, extract
from pipelines.data.source import Member
from pipelines.data.sources import CLIP_ENDINGS, files_by_class
from pipelines.data.split import deal
from pipelines.job.jobfile import Data, Split
from registry.errors import InputError, IntegrityError, NotFoundError


def quiet(*_: object) -> None:
    return


def write_clip(path: Path, frames: int, fps: float = 12, *, still: bool = False) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), fps, (64, 48))
    for index in range(frames):
        writer.write(np.full((48, 64, 3), 90 if still else (index * 37) % 255, np.uint8))
    writer.release()
    return path


def test_frames_are_kept_at_the_rate_that_is_asked_for(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.mp4", 24)
    assert [frame.index for frame in extract(clip, Sampling(fps=3, min_change=0))] == [0, 4, 8, 12, 16, 20]
    assert len(extract(clip, Sampling(fps=120, min_change=0))) == 24


def test_frames_that_hardly_change_are_dropped(tmp_path: Path) -> None:
    assert len(extract(write_clip(tmp_path / "still.mp4", 24, still=True), Sampling(fps=12))) == 1


def test_what_is_no_video_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "text.mp4").write_text("no video")
    (tmp_path / "empty.mp4").touch()
    for name in ("text.mp4", "empty.mp4"):
        with pytest.raises(InputError, match="is not a video"):
            extract(tmp_path / name, Sampling())


def test_a_clip_that_is_cut_short_is_refused(shared: Path) -> None:
    with pytest.raises(InputError, match="68 of 444 frames decode"):
        extract(shared / "tree.avi", Sampling())


def test_real_clips_decode_whole(shared: Path) -> None:
    assert len(extract(shared / "cup.mp4", Sampling(fps=5))) > 20


clip_names = st.lists(st.tuples(st.integers(0, 40), st.sampled_from("abc")), min_size=1, max_size=200)


@settings(deadline=None)
@given(clip_names, st.integers(0, 5))
def test_no_clip_is_ever_split(members: list[tuple[int, str]], seed: int) -> None:
    named = [Member(f"{label}/{clip}", f"{label} {clip}", frozenset({label})) for clip, label in members]
    dealt = deal(named, Split(seed=seed))
    assert dealt.keys() == {member.clip for member in named}
    assert dealt == deal(named[::-1], Split(seed=seed))
    for label in {label for _, label in members}:
        mine = [split for clip, split in dealt.items() if clip.startswith(f"{label}/")]
        if len(mine) >= 3:
            assert set(mine) == {"train", "val", "test"}


def test_groups_that_span_classes_stay_whole() -> None:
    members = [Member(f"signer{index}", f"{index} {label}", frozenset({label})) for index in range(20) for label in "abc"]
    dealt = deal(members, Split())
    assert sorted(dealt.values()).count("test") == 4


def test_a_data_set_is_a_folder_that_frameworks_read_with_every_byte_named(dataset: DataSet) -> None:
    dataset.verify()
    again = open_dataset(dataset.folder)
    assert again.manifest == dataset.manifest
    assert again.manifest.labels == ["0", "1", "2"]
    on_disk = {path.relative_to(dataset.folder).as_posix() for path in dataset.folder.rglob("*.jpg")}
    assert on_disk == {row.file for row in dataset.manifest.frames}
    splits = {}
    for row in dataset.manifest.frames:
        assert splits.setdefault(row.clip, row.split) == row.split


def test_the_digest_follows_the_content(clips: Path, dataset: DataSet, tmp_path: Path) -> None:
    same = build_dataset(Data(clips=clips), tmp_path / "same", quiet)
    other = build_dataset(Data(clips=clips, fps=2), tmp_path / "other", quiet)
    assert same.manifest.digest == dataset.manifest.digest != other.manifest.digest


def test_a_changed_frame_is_named(dataset: DataSet, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(dataset.folder, tmp_path / "copy"))
    victim = copy / dataset.manifest.frames[0].file
    victim.unlink()
    with pytest.raises(IntegrityError, match=victim.name):
        open_dataset(copy).verify()


def test_a_data_set_without_a_manifest_was_never_finished(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="modelyard frames"):
        open_dataset(tmp_path)
    (tmp_path / "manifest.json").write_text("{")
    with pytest.raises(InputError, match="not a manifest"):
        open_dataset(tmp_path)


def broken(kind: str, clips: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "clips"
    if kind == "missing":
        return folder
    if kind == "empty":
        folder.mkdir()
        return folder
    shutil.copytree(clips, folder)
    if kind == "one class":
        shutil.rmtree(folder / "0")
        shutil.rmtree(folder / "1")
    elif kind == "empty class":
        (folder / "9").mkdir()
    elif kind == "not a video":
        (folder / "0" / "notes.mp4").write_text("notes")
    elif kind == "too few clips":
        for clip in sorted((folder / "0").iterdir())[2:]:
            clip.unlink()
    return folder


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("missing", "no such folder"),
        ("empty", "expected a folder per class"),
        ("one class", "one class only"),
        ("empty class", "has no clips"),
        ("not a video", "is not a video"),
        ("too few clips", "at least three clips"),
    ],
)
def test_bad_clips_are_one_line_and_leave_nothing(clips: Path, tmp_path: Path, kind: str, message: str) -> None:
    target = tmp_path / "home" / "datasets" / "hand"
    with pytest.raises(InputError, match=message):
        build_dataset(Data(clips=broken(kind, clips, tmp_path)), target, quiet)
    assert not target.parent.exists() or list(target.parent.iterdir()) == []


def test_a_data_set_replaces_nothing_but_a_data_set(clips: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years of work")
    for target in (tmp_path / "mine", clips, clips / "0", clips.parent):
        with pytest.raises(InputError):
            build_dataset(Data(clips=clips), target, quiet)
    assert (tmp_path / "mine" / "thesis.txt").exists()
    assert len(list(clips.rglob("*.mp4"))) == 18


def test_a_bad_clip_leaves_the_older_data_set_as_it_was(clips: Path, tmp_path: Path) -> None:
    target = tmp_path / "hand"
    before = build_dataset(Data(clips=clips), target, quiet).manifest
    with pytest.raises(InputError):
        build_dataset(Data(clips=broken("not a video", clips, tmp_path)), target, quiet)
    assert open_dataset(target).manifest == before


@pytest.fixture
def photos(tmp_path: Path, picture) -> Path:
    for label in ("red", "blue"):
        for signer in range(6):
            for shot in range(2):
                path = tmp_path / "photos" / label / f"s{signer}_{shot}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(picture(label, (40 + signer, 40 + shot)))
    return tmp_path / "photos"


def test_images_are_split_by_the_group_in_their_names(photos: Path, tmp_path: Path) -> None:
    dataset = build_dataset(Data(images=photos, group=r"^(s\d+)_"), tmp_path / "out", quiet)
    splits: dict[str, str] = {}
    for row in dataset.manifest.frames:
        assert row.clip.startswith("s")
        assert splits.setdefault(row.clip, row.split) == row.split
    assert set(splits.values()) == {"train", "val", "test"}


@pytest.mark.parametrize(
    ("pattern", "message"), [("(", "is not a regular expression"), ("s", "no group"), (r"^(x\d)", "does not match")]
)
def test_a_bad_group_pattern_is_one_line(photos: Path, tmp_path: Path, pattern: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        build_dataset(Data(images=photos, group=pattern), tmp_path / "out", quiet)
    assert not (tmp_path / "out").exists()


def test_sources_are_listed_by_class_in_order(clips: Path) -> None:
    by_class = files_by_class(clips, CLIP_ENDINGS, "clips")
    assert list(by_class) == ["0", "1", "2"]
    assert all(len(files) == 6 for files in by_class.values())
