"""The demo on somebody's own folder reads what `frames` reads, and refuses before anything is started what that refuses."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from pipelines.demo.run import DemoOptions
from registry.errors import InputError


def test_files_that_are_no_clips_stop_nothing(clips: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(clips, tmp_path / "clips"))
    (folder / "0" / "README.txt").write_text("mine")
    DemoOptions(clips=folder, trainers="torch").check(Path())


def test_clips_given_as_images_are_refused(clips: Path) -> None:
    with pytest.raises(InputError, match="holds clips and not images"):
        DemoOptions(images=clips, trainers="torch").check(Path())
