"""What of train is in the held-out splits is named, whatever was done to it; what is not is never named."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).parent))

from leaky_sets import CLEAN, Image, Shot, frame, jpeg, room, takes, write_set

from pipelines.data.dataset import DataSet
from pipelines.data.leaks.find import find_leaks


def darker(image: Image) -> Image:
    return np.clip(image.astype(np.float32) * 0.75 + 6, 0, 255).astype(np.uint8)


def shifted(image: Image, right: int, down: int) -> Image:
    height, width = image.shape[:2]
    move = np.array([[1, 0, right], [0, 1, down]], np.float32)
    return cv2.warpAffine(image, move, (width, height), borderMode=cv2.BORDER_REFLECT)


COPIES = {
    "re-encoded": lambda image: jpeg(image, 35),
    "as PNG": lambda image: cv2.imencode(".png", image)[1].tobytes(),
    "half its size": lambda image: cv2.resize(image, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA),
    "larger": lambda image: cv2.resize(image, None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC),
    "mirrored": lambda image: np.ascontiguousarray(image[:, ::-1]),
    "darker": darker,
    "shifted": lambda image: shifted(image, 5, -3),
    "cropped": lambda image: image[3:-3, 4:-4],
}


@pytest.mark.parametrize("way", COPIES)
def test_a_copy_of_a_training_picture_is_named_with_it(way: str, tmp_path: Path) -> None:
    shots = takes(CLEAN)
    original = shots[9]
    copy = replace(original, split="test", name="zz.jpg", image=COPIES[way](original.image), clip="")
    report = find_leaks(write_set(tmp_path, [*shots, copy]))
    pairs = {(leak.kind, leak.file_b, leak.file_a) for leak in report.leaks}
    assert pairs == {("near_duplicate", f"test/{copy.label}/zz.jpg", f"train/{original.label}/{original.name}")}


def test_the_same_bytes_are_named_as_such(tmp_path: Path) -> None:
    shots = takes(CLEAN)
    copies = [replace(shots[3], split="test", name="zz.jpg"), replace(shots[4], split="val", label="b", name="yy.jpg")]
    report = find_leaks(write_set(tmp_path, [*shots, *copies]))
    assert {(leak.kind, leak.split_b) for leak in report.leaks} == {("bytes", "val"), ("bytes", "test")}


def test_rooms_that_are_not_in_train_are_no_leak(tmp_path: Path) -> None:
    report = find_leaks(write_set(tmp_path, takes(CLEAN)))
    assert report.leaks == ()
    assert report.errors() == []
    assert "groups are unknown" in report.warnings()[0].text


@settings(max_examples=15)
@given(st.integers(0, 10_000))
def test_unrelated_textures_are_never_alike(seed: int) -> None:
    import tempfile

    random = np.random.default_rng(seed)

    def texture(detail: int) -> Image:
        return cv2.resize(
            random.integers(0, 256, (detail, detail, 3)).astype(np.uint8), (96, 96), interpolation=cv2.INTER_CUBIC
        )

    details = random.integers(4, 40, 30).tolist()
    shots = [
        Shot("train" if index < 20 else "test", "ab"[index % 2], f"{chr(97 + index)}.jpg", texture(detail))
        for index, detail in enumerate(details)
    ]
    with tempfile.TemporaryDirectory() as folder:
        assert find_leaks(write_set(Path(folder), shots)).leaks == ()


def leaked_take(*, source: str, groups: str) -> list[Shot]:
    """One take a class, cut: the beginning is train's, the end is val's and test's."""
    shots = list[Shot]()
    for label, scene in (("a", 1), ("b", 2)):
        for index in range(30):
            split = "train" if index < 20 else "val" if index < 25 else "test"
            clip = f"{label}-{split}" if source == "clips" or groups == "known" else ""
            shots.append(
                Shot(split, label, f"{chr(97 + index % 26)}{'xy'[index // 26]}{label}.jpg", frame(room(scene), index), clip)
            )
    return shots


@pytest.mark.parametrize(("source", "groups"), [("images", "unknown"), ("images", "known"), ("clips", "known")])
def test_a_take_that_was_cut_into_train_and_test_is_one_scene(source: str, groups: str, tmp_path: Path) -> None:
    report = find_leaks(write_set(tmp_path, leaked_take(source=source, groups=groups), source=source, groups=groups))
    assert report.share("test") == report.share("val") == 1.0
    assert {leak.kind for leak in report.leaks} <= {"scene", "near_duplicate"}


@pytest.mark.parametrize(("change", "least"), [("re-encoded", 0.9), ("half its size", 0.9), ("darker", 0.5)])
def test_a_scene_is_recognized_when_its_pictures_were_changed(change: str, least: float, tmp_path: Path) -> None:
    shots = [
        replace(shot, image=COPIES[change](shot.image)) if shot.split == "test" else shot
        for shot in leaked_take(source="images", groups="unknown")
    ]
    assert find_leaks(write_set(tmp_path, shots)).share("test") >= least


def test_the_order_of_a_manifest_does_not_count(tmp_path: Path) -> None:
    shots = [*takes(CLEAN), *leaked_take(source="images", groups="unknown")]
    data = write_set(tmp_path, shots)
    turned = DataSet(data.folder, data.manifest.model_copy(update={"frames": data.manifest.frames[::-1]}))
    assert find_leaks(turned).leaks == find_leaks(data).leaks


def test_black_and_white_pictures_of_one_colour_cannot_be_told_apart_and_are_no_leak(tmp_path: Path) -> None:
    shots = [
        Shot(split, label, f"{chr(97 + index)}{split}.png", np.full((60, 80, 3), grey + index, np.uint8))
        for split in ("train", "val", "test")
        for label, grey in (("a", 0), ("b", 240))
        for index in range(5)
    ]
    shots = [replace(shot, image=cv2.imencode(".png", shot.image)[1].tobytes()) for shot in shots]
    report = find_leaks(write_set(tmp_path, shots))
    assert {leak.kind for leak in report.leaks} == {"bytes"}  # a colour in one picture is the same file in another
    assert report.plain == 20


def test_a_letterbox_or_a_white_sheet_is_no_scene(tmp_path: Path) -> None:
    def barred(seed: int) -> Image:
        image = frame(room(seed), seed)
        image[:36], image[-36:] = 0, 0
        return image

    shots = [
        Shot("train" if index < 12 else "test", "ab"[index % 2], f"{chr(97 + index)}.jpg", barred(index)) for index in range(20)
    ]
    assert find_leaks(write_set(tmp_path, shots)).leaks == ()


def test_a_clip_and_a_group_are_in_one_split(tmp_path: Path) -> None:
    shots = [replace(shot, clip="tuesday") if index in {0, 80} else shot for index, shot in enumerate(takes(CLEAN))]
    for source, kind in (("clips", "clip"), ("images", "group")):
        report = find_leaks(write_set(tmp_path / source, shots, source=source, groups="known"))
        assert [(leak.kind, leak.split_a, leak.split_b) for leak in report.leaks] == [(kind, "train", "val")]
        assert "tuesday" in report.leaks[0].text


def test_a_numbering_that_goes_on_in_val_is_one_recording_even_where_the_camera_moves(tmp_path: Path) -> None:
    def panned(index: int) -> Image:
        wide = np.hstack([room(seed) for seed in range(4)])
        return np.clip(wide[:, index * 6 : index * 6 + 160], 0, 255).astype(np.uint8)

    shots = [Shot("train" if index < 40 else "val", "a", f"frame_{index:04d}.jpg", panned(index)) for index in range(50)]
    report = find_leaks(write_set(tmp_path, shots))
    assert len(report.of_kind("name_sequence")) == 10
    assert "numbered in one recording" in report.of_kind("name_sequence")[0].text


def test_numbers_that_were_given_at_random_say_nothing(tmp_path: Path) -> None:
    shots = [
        Shot("train" if index % 3 else "test", "ab"[index % 2], f"img_{index:04d}.jpg", frame(room(index + 50), index))
        for index in range(40)
    ]
    assert find_leaks(write_set(tmp_path, shots)).leaks == ()


def test_pictures_of_one_series_are_told_by_their_clock(tmp_path: Path) -> None:
    def moment(scene: int, index: int) -> str:
        return f"2026-05-01T10:{scene:02d}:{index * 2:02d}"

    def near(scene: int, index: int) -> Image:
        return shifted(frame(room(scene), 0), 3 * index, 2 * index)

    shots = [
        Shot(
            "test" if index == 3 else "train",
            "ab"[scene % 2],
            f"{chr(97 + index)}x{chr(97 + scene)}.jpg",
            near(scene, index),
            "",
            moment(scene, index),
        )
        for scene in range(10)
        for index in range(6)
    ]
    report = find_leaks(write_set(tmp_path / "series", shots))
    assert len(report.of_kind("capture_time")) == 10
    frozen = [replace(shot, captured="2000-01-01T00:00:00") for shot in shots]
    assert find_leaks(write_set(tmp_path / "frozen", frozen)).of_kind("capture_time") == []
