"""Backgrounds that look the same wherever they are: no scene is told by them, and one that has structure still is."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).parent))
from leaky_sets import SIZE, Image, Shot, write_set

from pipelines.data.leaks.find import find_leaks

Scene = NDArray[np.float32]


def white_paper() -> Scene:
    """Lit from above, in the same way each time."""
    width, height = SIZE
    down, across = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j].astype(np.float32)
    return np.repeat((243 - 9 * (down**2 + across**2))[..., None], 3, axis=2)


def clear_sky() -> Scene:
    """Blue that is paler towards the ground."""
    slope = np.linspace(0.7, 1, SIZE[1], dtype=np.float32)[:, None, None]
    return np.repeat(slope * np.array([225, 170, 110], np.float32), SIZE[0], axis=1)


def painted_wall() -> Scene:
    """One paint, with a window to the left."""
    slope = np.linspace(1, 0.75, SIZE[0], dtype=np.float32)[None, :, None]
    return np.repeat(slope * np.array([190, 205, 215], np.float32), SIZE[1], axis=0)


def wall_with_a_shelf() -> Scene:
    """The same wall with something on it: no other wall has that, at that place."""
    wall = painted_wall()
    cv2.rectangle(wall, (0, 20), (SIZE[0] - 1, 28), (60.0, 80.0, 110.0), -1)
    for left in range(6, SIZE[0], 13):
        cv2.rectangle(wall, (left, 4), (left + 8, 19), (30.0 + left, 160.0, 210.0 - left), -1)
    return cv2.GaussianBlur(wall, (0, 0), 1).astype(np.float32)


BACKDROPS = {"white paper": white_paper, "a sky": clear_sky}


def thing(backdrop: Scene, seed: int) -> Image:
    """An object of its own shape, colour and place before it, and a camera's noise."""
    random, image = np.random.default_rng(seed), backdrop.copy()
    points = np.cumsum(random.normal(0, 16, (6, 2)), axis=0)
    middle = random.uniform(40, 80, 2) + np.array([20, 0])
    cv2.fillConvexPoly(
        image, cv2.convexHull((points - points.mean(0) + middle).astype(np.int32)), random.uniform(20, 200, 3).tolist()
    )
    return np.clip(image + random.normal(0, 2, image.shape), 0, 255).astype(np.uint8)


def shots(backdrop: Callable[[], Scene]) -> list[Shot]:
    """Thirty pictures of train and ten of val, of as many objects."""
    names = np.random.default_rng(4).permutation(10_000)
    return [
        Shot("train" if index < 30 else "val", "ab"[index % 2], f"{names[index]:x}q.jpg", thing(backdrop(), index))
        for index in range(40)
    ]


@pytest.mark.parametrize("name", BACKDROPS)
def test_other_objects_before_a_smooth_backdrop_are_no_leak(name: str, tmp_path: Path) -> None:
    report = find_leaks(write_set(tmp_path, shots(BACKDROPS[name])))
    assert not [leak for leak in report.leaks if leak.kind == "scene"]


def test_a_backdrop_with_structure_is_a_scene(tmp_path: Path) -> None:
    report = find_leaks(write_set(tmp_path, shots(wall_with_a_shelf)))
    assert report.share("val") >= 0.9
