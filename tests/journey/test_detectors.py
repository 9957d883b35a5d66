"""Detectors all the way, from both trainers: scored, refused, promoted, served, compared with the champion, replaced by a canary.

The pictures are drawn shapes, and a real cup and a real box where the project's own clips are there.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

sys.path[:0] = [str(Path(__file__).parents[1])]
from detector import draw_set, film_set

pytestmark = [pytest.mark.journey, pytest.mark.alone]
JOB = """\
model: shapes
task: detect
data: {images: shapes, leaks: allow}
train:
  - {kind: torch, epochs: 8, imgsz: 96}
  - {kind: torch, epochs: 20, imgsz: 96}
  - {kind: yolo, epochs: 2, imgsz: 96}
gates:
  staging:
    - {kind: metric, name: map50_95, at_least: 0.02}
    - {kind: metric, name: ap50, label: square, at_least: 0.01}
    - {kind: budget, train_usd: 1}
    - {kind: data}
  production:
    - {kind: metric, name: map50_95, at_least: 0.02}
    - {kind: champion, metric: map50_95, margin: 0.02}
    - {kind: parity, images: 20}
    - {kind: latency, p95_ms: 5000}
    - {kind: size, max_mb: 30}
    - {kind: safety}
    - {kind: card}
export: [{kind: onnx}]
deploy:
  production:
    kind: local
    canary: {share: 0.5, requests: 20, max_disagreement: 1.0, max_latency_ratio: 50}
"""


def test_a_detector_is_trained_scored_refused_promoted_served_and_replaced(
    tmp_path: Path, up, modelyard: Callable, eventually: Callable
) -> None:
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

        def score(version: int) -> dict:
            return json.loads(run("evaluate", f"shapes/{version}", "--json"))["evaluation"]

        def rows() -> dict[str, dict]:
            return {row["ref"]: row for row in json.loads(run("status", "--json"))}

        run("frames")
        trained = json.loads(run("train", "--json"))
        assert [event["trainer"] for event in trained] == ["torch", "torch", "yolo"]
        weak, strong, hasty = (score(version) for version in (1, 2, 3))
        assert strong["metrics"]["map50"] > 0.3, strong["metrics"]
        assert strong["task"] == "detect"
        assert strong["metrics"]["map50_95"] > weak["metrics"]["map50_95"] > hasty["metrics"]["map50_95"]
        assert strong["interval"][0] <= strong["metrics"]["map50_95"] <= strong["interval"][1]
        labels = [score["label"] for score in strong["classes"]]
        assert len(strong["confusion"]) == len(labels) + 1
        refused = run("promote", "shapes/3", "staging", code=1)
        assert f"map50_95 {hasty['metrics']['map50_95']:.4g} is below 0.02" in refused
        run("promote", "shapes/1", "staging")
        run("promote", "shapes/1", "production")
        picture = min((folder / "images" / "test").iterdir())
        row = rows()["shapes/1"]
        assert (row["map50_95"], row["top1"]) == (weak["metrics"]["map50_95"], None)
        assert ask_over_http(row["endpoint"], picture, labels) == {1}

        run("promote", "shapes/2", "staging")
        run("promote", "shapes/2", "production")
        state = json.loads(run("canary", "status", "shapes@production", "--json"))
        assert (state["canary"], state["against"], state["state"]) == ("shapes/2", 1, "going")
        assert ask_over_http(row["endpoint"], picture, labels, times=60) == {1, 2}
        eventually(lambda: modelyard("canary", "status", "shapes@production", "--home", home).returncode)
        history = [event["text"] for event in json.loads(run("history", "shapes", "--json"))]
        assert any("canary shapes/2 for production promoted by the canary's figures" in text for text in history)
        eventually(lambda: rows()["shapes/1"]["endpoint"] is None)
        assert ask_over_http(rows()["shapes/2"]["endpoint"], picture, labels) == {2}
        worse = run("gates", "shapes/1", "production", code=1)
        assert "mAP50-95 difference from champion shapes/2 (95% lower bound)" in worse
        assert "below -0.02" in worse


def ask_over_http(endpoint: str, picture: Path, labels: list[str], times: int = 1) -> set[int]:
    """The versions that answer; each with boxes of known classes."""
    with httpx.Client() as client:
        given = [client.post(f"{endpoint}/predict", content=picture.read_bytes()) for _ in range(times)]
    answers = [answer.raise_for_status().json() for answer in given]
    for answer in answers:
        assert all(box["label"] in labels and box["box"][0] < box["box"][2] for box in answer["boxes"])
    return {answer["version"] for answer in answers}
