"""Pictures are made worse in the same way each time, more with each strength, and before the one preprocessing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipelines.evaluation.robustness import CORRUPTIONS, MOST_IMAGES, images_for, robustness, write_worse
from pipelines.evaluation.scores import HeldOutSet
from serving.bundle.preprocess import Preprocess


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    random = np.random.default_rng(3)
    blocks = np.kron(random.integers(40, 216, (9, 14, 3), np.uint8), np.ones((20, 20, 1), np.uint8))
    Image.fromarray(blocks).save(tmp_path / "picture.png")
    return tmp_path / "picture.png"


@pytest.mark.parametrize(
    "preprocess", [Preprocess(size=32), Preprocess(size=64, layout="NHWC"), Preprocess(size=32, decode="reduced")]
)
def test_each_strength_is_further_from_the_picture_and_the_same_each_time(
    preprocess: Preprocess, picture: Path, tmp_path: Path
) -> None:
    clean = preprocess.pixels(picture.read_bytes()).astype(float)
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
    first, again = (write_worse(preprocess, [picture], tmp_path / folder) for folder in ("a", "b"))
    assert [file.read_bytes() for file in first] == [file.read_bytes() for file in again]
    shown = {name: preprocess.pixels(file.read_bytes()).astype(float) for name, file in zip(CORRUPTIONS, first, strict=True)}
    for kind in ("blur", "dark", "jpeg", "noise"):
        away = [np.abs(shown[f"{kind}_{strength}"] - clean).mean() for strength in (1, 2, 3)]
        assert 0.5 < away[0] < away[1] < away[2], (kind, away)
    assert shown["dark_2"].mean() == pytest.approx(clean.mean() / 4, rel=0.05)


def test_the_models_own_preprocessing_leaves_a_written_picture_as_it_is(picture: Path, tmp_path: Path) -> None:
    preprocess = Preprocess(size=48)
    for file in write_worse(preprocess, [picture], tmp_path):
        with Image.open(file) as opened:
            assert opened.size == (48, 48)
            assert (preprocess.pixels(file.read_bytes()) == np.asarray(opened.convert("RGB"))).all()


@pytest.mark.parametrize("side", [32, 64, 128, 160, 224, 640])
def test_a_larger_input_is_asked_about_fewer_pictures_and_never_more_than_200(side: int) -> None:
    assert 64 <= images_for(side) <= MOST_IMAGES == images_for(32)
    assert images_for(side) * side**2 <= max(MOST_IMAGES * 128**2, 64 * side**2)


def test_top1_is_that_of_each_kind_by_itself() -> None:
    held = HeldOutSet(["a", "b"], [0, 1], ["x", "y"])
    right = np.asarray([[0.9, 0.1], [0.2, 0.8]], np.float32)
    worse = np.concatenate([right] * 11 + [np.asarray([[np.nan, 0.1], [0.2, 0.8]], np.float32)])
    measured = robustness(right, worse, held)
    assert (measured.clean, measured.images, measured.clips) == (1.0, 2, 2)
    assert measured.top1 == dict.fromkeys(CORRUPTIONS[:-1], 1.0) | {"noise_3": 0.5}
