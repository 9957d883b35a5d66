"""A YOLO classifier that was trained on JPEGs at reduced scale: the same pictures in training, reference and serving."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

pytestmark = [pytest.mark.journey, pytest.mark.alone]


def test_yolo_is_trained_on_what_a_server_will_decode(tmp_path: Path) -> None:
    from pipelines.data.dataset import build_dataset
    from pipelines.demo.clips import Film, film_digits
    from pipelines.job.jobfile import Data
    from pipelines.job.trainers import YoloTrainer
    from pipelines.training.trainers.yolo import YoloAdapter
    from serving.bundle.modelinfo import read_info
    from serving.bundle.preprocess import Preprocess

    clips = film_digits(tmp_path / "clips", Film(clips=5, frames=2, size=160, digits=(0, 1)), lambda *_: None)
    data = build_dataset(Data(clips=clips), tmp_path / "data", lambda *_: None)
    fitted = YoloAdapter(YoloTrainer(epochs=1, imgsz=32, decode="reduced")).fit(data, tmp_path / "work", lambda *_: None)
    frames = data.files(data.rows("val"))
    reduced, full = Preprocess(size=32, decode="reduced"), Preprocess(size=32)
    for file in frames:
        shown = tmp_path / "work" / "data" / file.relative_to(data.folder).with_suffix(".png")
        decoded = reduced.open(file.read_bytes())
        assert decoded.size == (80, 80) != full.open(file.read_bytes()).size
        with Image.open(shown) as seen:
            assert (np.asarray(seen) == np.asarray(decoded)).all()
        assert (reduced.pixels(file.read_bytes()) != full.pixels(file.read_bytes())).any()
    assert read_info(fitted.folder, "yolo").preprocess == reduced
    assert not (tmp_path / "work" / "data" / "test").exists()
