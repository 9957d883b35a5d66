"""The bundle that an image is tried with: a whole one, the same each time, and right about colours."""

from __future__ import annotations

from pathlib import Path

import onnx

from serving.bundle.bundle import open_bundle
from serving.bundle.trial import LABELS, trial_bundle
from serving.inference.standalone import StandalonePredictor


def test_it_is_a_bundle_like_any_other_and_tells_colours_apart(tmp_path: Path, picture) -> None:
    index = trial_bundle(tmp_path / "trial")
    onnx.checker.check_model(onnx.load(tmp_path / "trial" / "model.onnx"), full_check=True)
    assert open_bundle(tmp_path / "trial").index == index
    predictor = StandalonePredictor(tmp_path / "trial", digest=index.digest)
    assert [predictor.predict(picture(colour))["label"] for colour in LABELS] == list(LABELS)


def test_the_same_bytes_each_time(tmp_path: Path) -> None:
    assert trial_bundle(tmp_path / "one").digest == trial_bundle(tmp_path / "two").digest
