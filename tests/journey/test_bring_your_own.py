"""A network that somebody else exported: registered, judged and promoted on the command line; and what a page taught on it."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "pipelines/training/foreign"))
from foreign_world import KNOWN, LABELS, onnx_network, paint
from taught_world import LABELS as GESTURES
from taught_world import Handover, teach

from pipelines.training.foreign.taught_network import cut_network
from serving.bundle.bundle import Bundle, open_bundle

pytestmark = pytest.mark.journey
JOB = """
model: light
data: {images: pictures, checks: warn}
train: [{kind: torch}]
export: [{kind: onnx}, {kind: onnx, quantize: int8, required: false}]
gates:
  staging: [{kind: parity, images: 5}, {kind: safety}]
"""


def teach_on(bundle: Bundle) -> Handover:
    """What a page could make of a bundle that was exported: other classes on the features of its network."""
    session = onnxruntime.InferenceSession(cut_network(bundle, "x").SerializeToString(), providers=["CPUExecutionProvider"])

    def features_of(pictures: Sequence[bytes]) -> np.ndarray:
        tensor = bundle.preprocess.tensor(np.stack([bundle.preprocess.pixels(picture) for picture in pictures]))
        return session.run(None, {"tensor": tensor})[0]

    return teach(bundle, GESTURES, features_of=features_of)


def test_a_foreign_network_is_promoted_and_a_broken_one_leaves_nothing(tmp_path: Path, up, modelyard: Callable) -> None:
    paint(tmp_path)
    (tmp_path / "modelyard.yaml").write_text(JOB)
    home = tmp_path / "home"
    theirs = onnx_network(tmp_path / "theirs.onnx", KNOWN["imagenet"], metadata={"labels": ",".join(LABELS)})
    (broken := tmp_path / "broken.onnx").write_bytes(b"PK\x03\x04 no network")
    assert modelyard("frames", "--home", home).returncode == 0
    with up(home, "--no-dashboard"):

        def run(*arguments: str | Path) -> dict:
            done = modelyard(*arguments, "--home", home, "--json")
            assert done.returncode == 0, done.stderr
            return json.loads(done.stdout)

        refused = modelyard("register", broken, "--home", home, "--json")
        assert refused.returncode == 2
        assert "a damaged zip archive" in refused.stdout + refused.stderr
        assert run("register", theirs) == {"model": "light", "version": 1}
        assert run("evaluate", "light/1")["evaluation"]["metrics"]["top1"] == 1.0
        exported = run("export", "light/1")
        assert all(row["kept"] for row in exported["parity"])
        assert modelyard("gates", "light/1", "staging", "--home", home).returncode == 0
        assert modelyard("promote", "light/1", "staging", "--home", home).returncode == 0
        taught = teach_on(open_bundle(Path(exported["path"]))).write(tmp_path / "light-taught.zip")
        imported = run("import", taught, "--name", "gestures")
        assert (imported["labels"], imported["groups"]) == (sorted(GESTURES), "known")
        assert run("register", taught, "--name", "gestures") == {"model": "gestures", "version": 1}
        assert run("evaluate", "gestures/1")["evaluation"]["metrics"]["top1"] == 1.0
