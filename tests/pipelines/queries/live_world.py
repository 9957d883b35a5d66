"""What the tests of `modelyard live` share: a home's bundle in its place, clips of plain colours, and a tiny detector."""

from __future__ import annotations

import json
from dataclasses import asdict
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace

import av
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from pipelines.queries.live import live as module
from pipelines.queries.live.live import Live
from pipelines.queries.live.records import FrameAnswer, LiveOptions, LiveSummary
from registry.errors import ModelyardError
from registry.files import building, write_atomic, write_json
from registry.memory import MemoryLedger
from serving.bundle.bundle import Bundle, open_bundle
from serving.bundle.preprocess import Preprocess
from serving.bundle.seal import BundleIndex, seal

COLOURS = {"red": (200, 20, 20), "green": (20, 200, 20), "blue": (20, 20, 200)}


class LiveWorld:
    """A bundle that stands for `colours/1`, and what was answered."""

    def __init__(self, bundle: Bundle, monkeypatch: pytest.MonkeyPatch, ledger: MemoryLedger | None = None) -> None:
        self.bundle, self.ledger = bundle, ledger or MemoryLedger()
        self.answers = list[FrameAnswer]()
        self.failure: ModelyardError | None = None
        monkeypatch.setattr(module, "last_bundle", lambda *_: (SimpleNamespace(ref="colours/1"), self.bundle))

    def live(self, source: object, **options: object) -> LiveSummary:
        looking = Live(lambda: self.ledger, lambda: None)  # type: ignore[arg-type]
        self.answers.clear()
        summary, self.failure = looking.live(
            "colours/1", str(source), LiveOptions(**options), lambda answer, _: self.answers.append(answer)
        )
        return summary

    @property
    def labels(self) -> list[str | None]:
        return [answer.label for answer in self.answers]


def colour_clip(path: Path, labels: list[str], times: list[int], size: tuple[int, int] = (160, 120)) -> Path:
    """A clip with a frame of each colour at its time in ms."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"crf": "10", "g": "1"})
        stream.width, stream.height = size
        stream.pix_fmt = "yuv420p"
        stream.codec_context.time_base = Fraction(1, 1000)
        for label, at in zip(labels, times, strict=True):
            frame = av.VideoFrame.from_ndarray(np.full((size[1], size[0], 3), COLOURS[label], np.uint8), format="rgb24")
            frame.pts, frame.time_base = at, Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def times_of(video: Path) -> list[float]:
    """The times of a video's frames in seconds."""
    with av.open(str(video)) as container:
        return [float(frame.pts * frame.time_base) for frame in container.decode(video=0)]


def pictures_of(video: Path) -> list[np.ndarray]:
    """A video's frames, RGB."""
    with av.open(str(video)) as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


def make_detector(folder: Path, rows: list[list[float]], labels: list[str]) -> Bundle:
    """A bundle whose network gives the same detections for every picture, in pixels of its 64 x 64 input."""
    constant = numpy_helper.from_array(np.array([rows], np.float32), "rows")
    nodes = [helper.make_node("Identity", ["rows"], ["detections"])]
    into = helper.make_tensor_value_info("images", TensorProto.FLOAT, [1, 3, 64, 64])
    out = helper.make_tensor_value_info("detections", TensorProto.FLOAT, [1, len(rows), 6])
    graph = helper.make_graph(nodes, "constant", [into], [out], [constant])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    onnx.checker.check_model(model)
    way = Preprocess(size=64, resize="longest side, bilinear", crop="none, padded with grey 114")
    with building(folder) as work:
        write_atomic(work / "model.onnx", model.SerializeToString())
        write_json(work / "preprocess.json", asdict(way))
        write_json(work / "labels.json", labels)
        seal(work, BundleIndex(model="shapes", version=1, model_digest="0" * 64, files={}, tools={}))
    return open_bundle(folder)


def lines_of(out: str) -> list[dict]:
    """Lines of JSON."""
    return [json.loads(line) for line in out.splitlines()]
