"""A network that somebody else exported: registered, evaluated, exported, judged and promoted on the command line."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "pipelines/training/foreign"))
from foreign_world import KNOWN, LABELS, onnx_network, paint

pytestmark = pytest.mark.journey
JOB = """
model: light
data: {images: pictures, checks: warn}
train: [{kind: torch}]
export: [{kind: onnx}, {kind: onnx, quantize: int8, required: false}]
gates:
  staging: [{kind: parity, images: 5}, {kind: safety}]
"""


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
        assert all(row["kept"] for row in run("export", "light/1")["parity"])
        assert modelyard("gates", "light/1", "staging", "--home", home).returncode == 0
        assert modelyard("promote", "light/1", "staging", "--home", home).returncode == 0
