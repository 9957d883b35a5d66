"""A detector's canary, with real endpoints on this machine: boxes in the same places agree, boxes elsewhere take it back."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path

import httpx
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from pipelines.job.deploys import LocalDeploy
from registry.events import CanaryEnded
from registry.files import building, write_atomic, write_json
from serving.bundle.bundle import Bundle, open_bundle
from serving.bundle.preprocess import Preprocess
from serving.bundle.seal import BundleIndex, seal

sys.path.insert(0, str(Path(__file__).parent))
from canary_world import RULES, World, make_world

pytestmark = pytest.mark.journey
SIZE = 32


def detector_bundle(folder: Path, version: int = 1, gain: float = 20.0) -> Bundle:
    """A network that sees a cup in each red picture, by `gain` a little or far to one side; its second row is padding."""
    left = 8 + (gain - 20) / 5
    weights, rows = np.zeros((3, 12), np.float32), np.zeros(12, np.float32)
    weights[0, 4], rows[:4] = 0.9, (left, 8, left + 16, 24)
    constants = {"weights": weights, "rows": rows, "shape": np.asarray([-1, 2, 6], np.int64)}
    nodes = [
        helper.make_node("GlobalAveragePool", ["images"], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["flat"]),
        helper.make_node("Gemm", ["flat", "weights", "rows"], ["numbers"]),
        helper.make_node("Reshape", ["numbers", "shape"], ["detections"]),
    ]
    into = helper.make_tensor_value_info("images", TensorProto.FLOAT, ["batch", 3, SIZE, SIZE])
    out = helper.make_tensor_value_info("detections", TensorProto.FLOAT, ["batch", 2, 6])
    tensors = [numpy_helper.from_array(value, name) for name, value in constants.items()]
    graph = helper.make_graph(nodes, "cups", [into], [out], tensors)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    onnx.checker.check_model(model)
    letterbox = Preprocess(size=SIZE, resize="longest side, bilinear", crop="none, padded with grey 114")
    with building(folder) as work:
        write_atomic(work / "model.onnx", model.SerializeToString())
        write_json(work / "preprocess.json", asdict(letterbox))
        write_json(work / "labels.json", ["cup", "box"])
        seal(work, BundleIndex(model="colours", version=version, model_digest="0" * 64, files={}, tools={}))
    return open_bundle(folder)


@pytest.fixture
def detectors(picture: Callable[..., bytes], tmp_path: Path) -> Iterator[World]:
    """Three versions: the second's boxes lie a pixel beside the first's, the third's where they hardly overlap."""
    made = make_world(detector_bundle, picture, tmp_path, LocalDeploy(canary=RULES, smoke_images=1))
    yield made
    made.targets.local().stop_all()


def until(so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not so():
        assert time.monotonic() < deadline, "it never became so"
        time.sleep(0.1)


def test_a_detector_that_finds_the_same_takes_over_and_one_that_finds_it_elsewhere_goes_back(
    detectors: World, picture: Callable[..., bytes]
) -> None:
    world, red = detectors, picture("red")
    world.promote(1)
    live = world.targets.local().find("colours-production")
    assert live is not None
    (box,) = httpx.post(f"{live.url}/predict", content=red).json()["boxes"]
    assert (box["label"], len(box["box"])) == ("cup", 4)
    for number, before, outcome in ((2, 1, "promoted"), (3, 2, "rolled_back")):
        world.promote(number)
        assert world.served() == {"colours-production": before, "colours-production-canary": number}
        until(lambda number=number: number in world.ask(red, 2))
        world.ask(red, 60)
        until(lambda: bool(world.once()))
        assert world.ended()[-1] == (number, outcome)
    assert world.served() == {"colours-production": 2}
    ended = [row.event for row in world.context.ledger.entries("colours") if isinstance(row.event, CanaryEnded)]
    assert [event.figures["disagreement"] for event in ended] == [0.0, 1.0]
    assert min(event.figures["compared"] for event in ended) >= 10
    assert "disagrees with the version that serves in 100.0%" in ended[1].reason
