"""Wherever clips lie below a folder: they are read, or listed, or the folder is refused in one line. Nothing else happens."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from shutil import copy

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.data.build import open_source
from pipelines.data.importing.open import opened
from pipelines.data.source import Source
from pipelines.job.jobfile import Data
from registry.errors import InputError

NAMES = ("train", "val", "test", "a", "b", "a/deep", "train/a", "train/b", "val/a", "val/b", "")
ENDINGS = ("1.mp4", "2.MP4", "3.mp4", "notes.txt", ".hidden.mp4")


@pytest.fixture(scope="module")
def clip(clips: Path) -> Path:
    return next(clips.rglob("*.mp4"))


def by_frames(folder: Path) -> Source:
    return open_source(Data(clips=folder))


def by_import(folder: Path) -> Source:
    with opened(folder, Data()) as source:
        return source


def read(open_it: Callable[[Path], Source], folder: Path) -> set[str] | str:
    """The files that are members or listed; or why the folder is refused."""
    try:
        source = open_it(folder)
        members = source.members()
    except InputError as error:
        return str(error)
    assert members
    return {item["file"] for item in source.report()["left_out"]}


@settings(deadline=None, max_examples=60)
@given(st.sets(st.tuples(st.sampled_from(NAMES), st.sampled_from(ENDINGS)), min_size=1, max_size=8))
def test_every_clip_is_read_or_listed_or_the_folder_is_refused(
    tmp_path_factory: pytest.TempPathFactory, clip: Path, files: set[tuple[str, str]]
) -> None:
    folder = tmp_path_factory.mktemp("tree")
    for name, ending in sorted(files):
        (folder / name).mkdir(parents=True, exist_ok=True)
        if ending.lower().endswith(".mp4"):
            copy(clip, folder / name / ending)
        else:
            (folder / name / ending).write_text("mine")
    for open_it in (by_frames, by_import):
        outcome = read(open_it, folder)
        assert "\n" not in str(outcome)
        if isinstance(outcome, set):
            assert {str(Path(name, ending)) for name, ending in files if ending == "notes.txt"} <= outcome


@pytest.mark.parametrize("open_it", [by_frames, by_import])
def test_clips_without_a_folder_for_each_class_are_refused(
    open_it: Callable[[Path], Source], clip: Path, tmp_path: Path
) -> None:
    for number in range(3):
        copy(clip, tmp_path / f"{number}.mp4")
    with pytest.raises(InputError, match="holds 3 clips and no class folders"):
        open_it(tmp_path)
