"""Edge-case pictures made of real ones."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from serving.bundle.preprocess import decode
from serving.export.hard_images import make_hard_images


def opened(path: Path) -> Image.Image:
    with Image.open(path) as image:
        image.load()
        return image


def test_hard_images_are_what_they_are_called(tmp_path: Path) -> None:
    source = tmp_path / "real.jpg"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (60, 80, 3), np.uint8)).save(source, quality=95)
    (tmp_path / "made").mkdir()
    made = {path.name[3:]: opened(path) for path in make_hard_images([source] * 7, tmp_path / "made")}
    assert made["wide.jpg"].size == (240, 60)
    assert made["tall.jpg"].size == (80, 121)
    assert made["turned.jpg"].getexif()[0x0112] == 6
    assert made["turned.jpg"].size == (60, 80)
    assert made["grey.jpg"].mode == "L"
    assert made["tiny.png"].size == (16, 12)
    assert made["transparent.png"].mode == "RGBA"
    assert made["palette.png"].mode == "P"
    upright = decode((tmp_path / "made" / "02-turned.jpg").read_bytes())
    assert upright.size == (80, 60)
