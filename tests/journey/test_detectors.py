"""A detector all the way on pictures that the test draws: trained, scored, judged, exported, served, refused."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

sys.path[:0] = [str(Path(__file__).parents[1])]
from detector import NAMES, draw_set

pytestmark = [pytest.mark.journey, pytest.mark.alone]
JOB = """\
model: shapes
task: detect
data: {images: shapes, leaks: allow}
train: [{kind: torch, epochs: 20, imgsz: 96}]
gates:
  staging:
    - {kind: metric, name: map50, at_least: 0.2}
    - {kind: metric, name: ap50, label: disc, at_least: 0.05}
    - {kind: budget, train_usd: 1}
    - {kind: data}
  production:
    - {kind: metric, name: map50_95, at_least: LIMIT}
    - {kind: champion, metric: map50_95, margin: 0.2}
    - {kind: parity, images: 20}
    - {kind: latency, p95_ms: 5000}
    - {kind: size, max_mb: 30}
    - {kind: safety}
    - {kind: card}
export: [{kind: onnx}]
deploy: {production: {kind: local}}
"""


def test_a_detector_is_trained_scored_refused_promoted_and_served(tmp_path: Path, up, modelyard: Callable) -> None:
    draw_set(tmp_path / "shapes", tmp_path / "drawn", (64, 12, 40))
    home, job = tmp_path / "home", tmp_path / "modelyard.yaml"
    job.write_text(JOB.replace("LIMIT", "0.999"))
    with up(home, "--no-dashboard"):

        def run(*arguments: object, code: int = 0) -> str:
            done = modelyard(*arguments, "--home", home)
            assert done.returncode == code, (arguments, done.stdout, done.stderr)
            return done.stdout if code == 0 else done.stderr + done.stdout

        run("frames")
        (trained,) = json.loads(run("train", "--json"))
        assert trained["trainer"] == "torch"
        scored = json.loads(run("evaluate", "shapes/1", "--json"))["evaluation"]
        assert scored["task"] == "detect"
        assert scored["metrics"]["map50"] > 0.2, scored["metrics"]
        assert scored["interval"][0] <= scored["metrics"]["map50_95"] <= scored["interval"][1]
        assert len(scored["confusion"]) == len(NAMES) + 1
        run("promote", "shapes/1", "staging")
        refused = run("promote", "shapes/1", "production", code=1)
        assert "map50_95" in refused
        assert "below 0.999" in refused
        job.write_text(JOB.replace("LIMIT", "0.05"))
        run("policy", "set")
        run("promote", "shapes/1", "production")
        picture = next((tmp_path / "shapes" / "images" / "test").iterdir())
        (answer,) = json.loads(run("predict", "shapes@production", picture, "--json"))
        assert all(box["label"] in NAMES and 0 <= box["box"][0] < box["box"][2] for box in answer["boxes"])
        (row,) = json.loads(run("status", "--json"))
        assert row["map50_95"] == scored["metrics"]["map50_95"]
        assert row["top1"] is None
        assert row["endpoint"]
