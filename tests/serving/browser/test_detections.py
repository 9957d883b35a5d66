"""A detector's boxes in TypeScript and in numpy are ONNX's, on crowded scenes: ties, touching boxes, more than `most`."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from numpy.typing import NDArray

sys.path[:0] = [str(Path(__file__).parent)]
from compiled import ask_node

from serving.bundle.modelinfo import Suppression
from serving.bundle.preprocess import from_letterbox
from serving.export.detections import compare_detections
from serving.export.graphs import suppression_graph
from serving.export.raw_boxes import Head, decode

Array = NDArray[np.float32]

SIZE, STRIDES, SCENES = 64, (8, 16, 32), 400
RULES = (
    Suppression(),
    Suppression(score=0.5, iou=0.5, most=20),
    Suppression(score=0.05, iou=0.25, most=7),
    Suppression(score=0.3, iou=0.999, most=300),
)
DECODE = """
const { decode, toImage } = await import(`${DIST}/index.js`);
const { placementOf } = await import(`${DIST}/letterbox.js`);
console.log(JSON.stringify(data.map(({ raw, head, cellsLast, width, height }) =>
  decode(raw, head, cellsLast).map((each) => {
    const { box, score, class: kind } = toImage(each, placementOf(width, height, head.size));
    return [...box, score, kind];
  }))));
"""


@dataclass(frozen=True)
class Scene:
    """A raw output `[4 * bins + classes, cells]`, what it stands for, and the image that it is of."""

    raw: Array
    predictions: Array
    rule: Suppression
    classes: int
    width: int
    height: int


def grid() -> tuple[Array, Array]:
    """Each cell's centre in strides `[cells, 2]`, and its stride."""
    rows = [(x + 0.5, y + 0.5, s) for s in STRIDES for y in range(SIZE // s) for x in range(SIZE // s)]
    cells = np.asarray(rows, np.float32)
    return cells[:, :2], cells[:, 2]


def make_scene(seed: int) -> Scene:
    """Many boxes on few cells; every other scene has whole distances and few different scores, so that they tie and touch."""
    random = np.random.default_rng(seed)
    classes, bins, ties = int(random.choice([1, 2, 5, 40])), int(random.choice([1, 1, 16])), seed % 2 == 0
    centres, strides = grid()
    scores = random.normal(0, 2, (classes, len(strides))).astype(np.float32)
    if ties:
        scores = np.round(scores)
    if bins == 1:
        raw = random.uniform(0.2, 3, (4, len(strides))).astype(np.float32)
        raw = reach = np.round(raw * 2) / 2 if ties else raw
    else:
        raw = random.normal(0, 3, (4, bins, len(strides))).astype(np.float32)
        weights = np.exp(raw - raw.max(1, keepdims=True))
        reach = (weights * np.arange(bins, dtype=np.float32)[:, None]).sum(1) / weights.sum(1)
        raw = raw.reshape(4 * bins, -1)
    low, high = (centres.T - reach[:2]) * strides, (centres.T + reach[2:]) * strides
    predictions = np.concatenate([(low + high) / 2, high - low, 1 / (1 + np.exp(-scores))]).astype(np.float32)
    width, height = (int(side) for side in random.integers(20, 300, 2))
    return Scene(np.concatenate([raw, scores]), predictions, RULES[seed % len(RULES)], classes, width, height)


def expected(scenes: list[Scene]) -> list[list[list[float]]]:
    """What the exported ONNX answers: our graph in ONNX Runtime, then Python's letterbox."""
    sessions = {
        rule: onnxruntime.InferenceSession(suppression_graph(rule, to_image=False).SerializeToString(), None, None)
        for rule in RULES
    }
    answers = list[list[list[float]]]()
    for scene in scenes:
        rows = np.asarray(sessions[scene.rule].run(None, {"predictions": scene.predictions[None]})[0])[0]
        rows = rows[rows[:, 4] > 0]
        rows[:, :4] = from_letterbox(rows[:, :4], SIZE, scene.width, scene.height)
        answers.append(rows.tolist())
    return answers


def asked(scene: Scene, *, cells_last: bool) -> dict[str, Any]:
    """A scene as TypeScript takes it."""
    raw = scene.raw if cells_last else scene.raw.T
    head = {"size": SIZE, "strides": STRIDES, "classes": scene.classes, "rule": scene.rule.plain()}
    numbers = {"raw": raw.ravel().tolist(), "width": scene.width, "height": scene.height}
    return numbers | {"head": head, "cellsLast": cells_last}


def differences(answers: list[list[list[float]]], others: list[list[list[float]]]) -> list[int]:
    """The scenes in which some box, score or class differs by more than 1e-4 (of a box: of its image's longer side)."""
    different = list[int]()
    for index, (rows, other) in enumerate(zip(answers, others, strict=True)):
        first, second = np.asarray(rows).reshape(-1, 6), np.asarray(other).reshape(-1, 6)
        # Boxes of one score have no order of their own between runtimes: compare them as a set.
        first, second = (
            array[np.lexsort([*array.T[:4].round(2), array[:, 5], -array[:, 4].round(5)])] for array in (first, second)
        )
        if first.shape != second.shape or not np.allclose(first, second, rtol=1e-4, atol=1e-4):
            different.append(index)
    return different


@pytest.fixture(scope="module")
def scenes() -> list[Scene]:
    return [make_scene(seed) for seed in range(SCENES)]


def test_the_scenes_are_crowded(scenes: list[Scene]) -> None:
    """What the comparison below is about does occur."""
    answers = expected(scenes)
    counts = [len(rows) for rows in answers]
    assert sum(count == scene.rule.most for count, scene in zip(counts, scenes, strict=True)) > 20, "more than `most` boxes"
    assert max(counts) > 50
    assert sum(len({row[4] for row in rows}) < len(rows) for rows in answers) > 100, "scores tie"
    before = [int((scene.predictions[4:].max(0) > scene.rule.score).sum()) for scene in scenes]
    assert sum(count < many for count, many in zip(counts, before, strict=True)) > 200, "boxes are suppressed"


def test_every_box_score_and_class_is_pythons(scenes: list[Scene], tmp_path: Path) -> None:
    given = [asked(scene, cells_last=bool(index % 2)) for index, scene in enumerate(scenes)]
    answers = ask_node(tmp_path, DECODE, given)
    assert differences(answers, expected(scenes)) == []
    assert len(differences(answers[1:] + answers[:1], expected(scenes))) > SCENES * 0.9, "the control: other scenes differ"


def decoded(scene: Scene, *, cells_last: bool) -> list[list[float]]:
    """A scene's boxes by numpy, as they are decoded for LiteRT's parity."""
    rule = scene.rule
    head = Head(SIZE, STRIDES, scene.classes, score=rule.score, iou=rule.iou, most=rule.most)
    rows = decode(scene.raw if cells_last else scene.raw.T, head)
    rows[:, :4] = from_letterbox(rows[:, :4], SIZE, scene.width, scene.height)
    return rows.tolist()


def test_numpys_boxes_are_those_of_the_exported_onnx(scenes: list[Scene]) -> None:
    answers = [decoded(scene, cells_last=bool(index % 2)) for index, scene in enumerate(scenes)]
    assert differences(answers, expected(scenes)) == []
    assert len(differences(answers[1:] + answers[:1], expected(scenes))) > SCENES * 0.9, "the control: other scenes differ"
    with pytest.raises(ValueError, match=r"raw output \(5, 5\) does not fit 84 cells and 2 classes"):
        decode(np.zeros((5, 5), np.float32), Head(SIZE, STRIDES, 2, score=0.25, iou=0.7, most=300))


PARITY = """
const { compare } = await import(`${DIST}/parity.js`);
console.log(JSON.stringify(data.map(({ trained, answers }) => compare(trained, answers, 0.25))));
"""


def test_the_figures_of_detections_are_those_of_the_parity_gate(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    pairs = list[tuple[Array, Array]]()
    for noise in (0.0, 0.005, 0.02, 0.1):
        trained = np.zeros((8, 20, 6), np.float32)
        corner = random.uniform(0, 80, (8, 20, 2))
        trained[..., :4] = np.concatenate([corner, corner + random.uniform(5, 30, (8, 20, 2))], 2)
        trained[..., 4] = -np.sort(-random.uniform(0.25, 1, (8, 20)), axis=1)
        trained[..., 5] = random.integers(0, 3, (8, 20))
        answers = trained.copy()
        answers[..., :4] *= 1 + random.normal(0, noise, answers[..., :4].shape)
        answers[..., 4] *= 1 - random.uniform(0, noise, (8, 20))
        pairs.append((trained, answers))
    given = [{"trained": trained.tolist(), "answers": answers.tolist()} for trained, answers in pairs]
    for (trained, answers), figures in zip(pairs, ask_node(tmp_path, PARITY, given), strict=True):
        theirs = compare_detections("x", trained, answers)
        assert figures["agreement"] == pytest.approx(theirs.top1_agreement, abs=1e-6)
        assert figures["largest"] == pytest.approx(theirs.max_abs_diff, abs=1e-5)
        assert figures["mean"] == pytest.approx(theirs.mean_abs_diff, abs=1e-5)
        assert figures["control"] < 0.5
