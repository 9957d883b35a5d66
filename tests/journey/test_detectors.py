"""Detectors all the way, from both trainers: trained, scored, refused, exported, promoted, served.

The pictures are drawn shapes, and a real cup and a real box where the project's own clips are beside the repository.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

sys.path[:0] = [str(Path(__file__).parents[1])]
from detector import draw_set, film_set

pytestmark = [pytest.mark.journey, pytest.mark.long]
JOB = """\
model: shapes
task: detect
data: {images: shapes, leaks: allow}
train:
  - {kind: torch, epochs: 20, imgsz: 96}
  - {kind: yolo, epochs: 2, imgsz: 96}
gates:
  staging:
    - {kind: metric, name: map50, at_least: 0.2}
    - {kind: metric, name: ap50, label: disc, at_least: 0.05}
    - {kind: budget, train_usd: 1}
    - {kind: data}
  production:
    - {kind: metric, name: map50_95, at_least: 0.05}
    - {kind: champion, metric: map50_95, margin: 0.2}
    - {kind: parity, images: 20}
    - {kind: latency, p95_ms: 5000}
    - {kind: size, max_mb: 30}
    - {kind: safety}
    - {kind: card}
export: [{kind: onnx}]
deploy: {production: {kind: local}}
"""


def test_detectors_are_trained_scored_refused_promoted_and_served(tmp_path: Path, up, modelyard: Callable) -> None:
    folder, clips = tmp_path / "shapes", Path(__file__).parents[3] / "shared" / "data"
    if clips.is_dir():
        film_set(folder, tmp_path / "drawn", clips)
    else:
        draw_set(folder, tmp_path / "drawn", (64, 12, 40))
    home, job = tmp_path / "home", tmp_path / "modelyard.yaml"
    job.write_text(JOB)
    with up(home, "--no-dashboard"):

        def run(*arguments: object, code: int = 0) -> str:
            done = modelyard(*arguments, "--home", home)
            assert done.returncode == code, (arguments, done.stdout, done.stderr)
            return done.stdout if code == 0 else done.stderr + done.stdout

        run("frames")
        assert [event["trainer"] for event in json.loads(run("train", "--json"))] == ["torch", "yolo"]
        scored, hasty = (json.loads(run("evaluate", f"shapes/{version}", "--json"))["evaluation"] for version in (1, 2))
        labels = [score["label"] for score in scored["classes"]]
        assert scored["task"] == hasty["task"] == "detect"
        assert scored["metrics"]["map50"] > 0.3, scored["metrics"]
        assert scored["metrics"]["map50_95"] > hasty["metrics"]["map50_95"]
        assert scored["interval"][0] <= scored["metrics"]["map50_95"] <= scored["interval"][1]
        assert len(scored["confusion"]) == len(labels) + 1
        refused = run("promote", "shapes/2", "staging", code=1)
        assert f"map50 {hasty['metrics']['map50']:.4g} is below 0.2" in refused
        run("promote", "shapes/1", "staging")
        run("promote", "shapes/1", "production")
        for picture in sorted((folder / "images" / "test").iterdir())[::8]:
            (answer,) = json.loads(run("predict", "shapes@production", picture, "--json"))
            assert all(box["label"] in labels and 0 <= box["box"][0] < box["box"][2] for box in answer["boxes"])
        row = next(row for row in json.loads(run("status", "--json")) if row["ref"] == "shapes/1")
        assert row["map50_95"] == scored["metrics"]["map50_95"]
        assert row["top1"] is None
        assert row["endpoint"]
