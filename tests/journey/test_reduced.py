"""A YOLO classifier that was trained on JPEGs at reduced scale: the same pictures in training, reference and serving."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

pytestmark = [pytest.mark.journey, pytest.mark.long]


def test_yolo_is_trained_on_what_a_server_will_decode(tmp_path: Path) -> None:
    from pipelines.data.build import build_dataset
    from pipelines.demo.clips import Film, film_digits
    from pipelines.job.jobfile import Data
    from pipelines.job.trainers import YoloTrainer
    from pipelines.training.trainers.contract import Watch
    from pipelines.training.trainers.yolo import YoloAdapter
    from serving.bundle.modelinfo import read_info
    from serving.bundle.preprocess import Preprocess

    clips = film_digits(tmp_path / "clips", Film(clips=5, frames=2, size=160, digits=(0, 1)), lambda *_: None)
    data = build_dataset(Data(clips=clips), tmp_path / "data", lambda *_: None)
    fitted = YoloAdapter(YoloTrainer(epochs=1, imgsz=32, decode="reduced")).fit(data, tmp_path / "work", Watch())
    reduced, full = Preprocess(size=32, decode="reduced"), Preprocess(size=32)
    for split in ("train", "val"):
        rows = data.rows(split)
        served = list[tuple[int, bytes]]()
        for file, target in zip(data.files(rows), data.targets(rows), strict=True):
            decoded = reduced.open(file.read_bytes())
            assert decoded.size == (80, 80) != full.open(file.read_bytes()).size
            assert (reduced.pixels(file.read_bytes()) != full.pixels(file.read_bytes())).any()
            served.append((int(target), np.asarray(decoded).tobytes()))
        assert rows
        assert sorted(_shown(tmp_path / "work" / "data" / split)) == sorted(served)
    assert read_info(fitted.folder, "yolo").preprocess == reduced
    assert not (tmp_path / "work" / "data" / "test").exists()


def _shown(folder: Path) -> Iterator[tuple[int, bytes]]:
    """What Ultralytics was given, whatever its files are called: each picture's class number and pixels."""
    for file in folder.rglob("*"):
        if file.is_file() and file.suffix != ".cache":
            with Image.open(file) as seen:
                assert seen.mode == "RGB"
                yield int(file.parent.name), np.asarray(seen).tobytes()
