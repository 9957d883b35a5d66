"""The layouts that people really have: takes cut into train and val, and hands split by signer or by photograph."""

from __future__ import annotations

import sys
import zipfile
from collections.abc import Callable
from pathlib import Path, PurePosixPath

import cv2
import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))
from leaky_sets import Shot, write_set

from pipelines.data.leaks.find import find_leaks


def take(clip: Path) -> list[bytes]:
    """Every third frame of a clip, as a JPEG."""
    capture, frames = cv2.VideoCapture(str(clip)), list[bytes]()
    while capture.grab():
        frames.append(cv2.imencode(".jpg", capture.retrieve()[1])[1].tobytes() if len(frames) % 3 == 0 else b"")
    return frames[::3]


def photographs(archive: Path, signers: int, split_of: Callable[[str, int], str]) -> list[Shot]:
    """The pictures of the first signers, each put where the function says."""
    shots = list[Shot]()
    with zipfile.ZipFile(archive) as opened:
        for number, name in enumerate(sorted(name for name in opened.namelist() if name.endswith(".jpg"))):
            path = PurePosixPath(name)
            if int(path.name[1:4]) < signers:
                shots.append(
                    Shot(split_of(path.name[:4], number), path.parent.name, path.name, opened.read(name), path.name[:4])
                )
    return shots


def by_signer(signer: str, _: int) -> str:
    return ("train", "val", "train", "test", "train")[int(signer[1:]) % 5]


def by_photograph(_: str, number: int) -> str:
    return str(np.random.default_rng(number).choice(["train", "val", "test"], p=[0.6, 0.2, 0.2]))


def test_val_from_the_tail_of_the_same_takes_is_leaked_whole(shared: Path, tmp_path: Path) -> None:
    shots = list[Shot]()
    for label in ("cup", "box"):
        frames = take(shared / f"{label}.mp4")
        shots += [
            Shot("train" if index < 0.8 * len(frames) else "val", label, f"{index:03d}.jpg", content)
            for index, content in enumerate(frames)
        ]
    report = find_leaks(write_set(tmp_path, shots))
    assert report.share("val") == 1.0
    by_pixels = {leak.file_b for leak in report.leaks if leak.kind in {"scene", "near_duplicate"}}
    assert len(by_pixels) >= 0.9 * report.images["val"]


@pytest.mark.parametrize("groups", ["known", "unknown"])
def test_a_split_by_signer_passes(groups: str, shared: Path, tmp_path: Path) -> None:
    shots = photographs(shared / "sign-digits.zip", 100, by_signer)
    report = find_leaks(write_set(tmp_path, shots, groups=groups))
    assert report.errors() == []


def test_a_split_by_photograph_is_named_and_said_to_have_unknown_groups(shared: Path, tmp_path: Path) -> None:
    shots = photographs(shared / "sign-digits.zip", 100, by_photograph)
    report = find_leaks(write_set(tmp_path, [Shot(s.split, s.label, s.name, s.image) for s in shots]))
    assert report.share("test") > 0.5
    assert "groups are unknown" in report.warnings()[0].text
