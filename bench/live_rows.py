"""The row about `modelyard live`: what a frame costs on one core, beside Ultralytics' own loop; each is a process."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

_FRAMES, _WARM, _PAIRS = 330, 30, 3
_WIDTH, _HEIGHT, _SIZE = 640, 480, 64
_CAMERA_MS = 1000 / 30
"""A camera gives a frame so often."""


def rows() -> dict[str, Callable[[], dict[str, Any]]]:
    """The benchmarks of this file."""
    return {"live_fps": live_fps}


def live_fps() -> dict[str, Any]:
    """Milliseconds a frame of a 640 x 480 video on one core: the loop of `modelyard live` (ours), Ultralytics' own (peer).

    The demo's YOLO classifier at 64 pixels; H.264 is decoded, the frame answered, the answer drawn, and nothing shown. The peer
    is `YOLO(...).predict(source, stream=True)` with `plot()` for each frame, on one thread. Medians of three, alternating. The
    limit is a camera's 33.3 ms: 30 frames a second.
    """
    from serving_peers import prepare
    from serving_rows import _stage

    stage = _stage()
    prepare("ultralytics", stage)
    clip, checkpoint = write_clip(stage.folder / "live.mp4"), Path(stage.environment["PEER_CHECKPOINT"])
    spans: dict[str, list[float]] = {"ours": [], "peer": []}
    for _ in range(_PAIRS):
        spans["peer"].append(measured("peer", checkpoint, clip)["ms"])
        spans["ours"].append(measured("ours", stage.bundle, clip)["ms"])
    medians = {name: statistics.median(values) for name, values in spans.items()}
    note = f"{1000 / medians['ours']:.0f} frames a second, the peer {1000 / medians['peer']:.0f}"
    return {**medians, "limit": _CAMERA_MS, "unit": "ms", "note": note}


def write_clip(path: Path) -> Path:
    """Smooth noise that moves, as a camera's picture does, in H.264."""
    import av
    import cv2
    import numpy as np

    wide = cv2.resize(np.random.default_rng(0).integers(0, 255, (30, 80, 3), np.uint8), (2 * _WIDTH, _HEIGHT))
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=30, options={"preset": "veryfast"})
        stream.width, stream.height, stream.pix_fmt = _WIDTH, _HEIGHT, "yuv420p"
        for number in range(_FRAMES):
            begin = number * 2 % _WIDTH
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(wide[:, begin : begin + _WIDTH]), format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1, 30)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def measured(way: str, model: Path, clip: Path) -> dict[str, float]:
    """Milliseconds a frame, `ours` or `peer`, in a process that has one core; `video`: ours, with the video encoded too."""
    alone = {"OMP_NUM_THREADS": "1", "YOLO_OFFLINE": "true", "YOLO_AUTOINSTALL": "false"}
    command = [sys.executable, __file__, way, str(model), str(clip)]
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=os.environ | alone)
    return json.loads(done.stdout.splitlines()[-1])


def _ours(bundle: Path, clip: Path, film: Path | None = None) -> list[float]:
    """When each frame was done."""
    from contextlib import nullcontext

    from pipelines.queries.live.loop import Loop
    from pipelines.queries.live.overlay import Overlay
    from pipelines.queries.live.predictor import FramePredictor
    from pipelines.queries.live.records import LiveOptions
    from pipelines.queries.live.sources import open_source
    from pipelines.queries.live.stop import Stop
    from pipelines.queries.live.video import writing_video
    from serving.bundle.bundle import open_bundle

    predictor, marks = FramePredictor(open_bundle(bundle), "bench/1 here", lambda answer: answer), list[float]()
    with writing_video(film, "bench", overwrite=True) if film else nullcontext() as writer:
        drawn = writer.add if writer else lambda *_: None
        mark = lambda _: marks.append(time.perf_counter())  # noqa: E731
        Loop(open_source(str(clip)), predictor, Overlay(predictor.labels), Stop(), LiveOptions(), (mark,), (drawn,)).run()
    return marks


def _with_video(bundle: Path, clip: Path) -> list[float]:
    return _ours(bundle, clip, clip.with_name("seen.mp4"))


def _ultralytics(checkpoint: Path, clip: Path) -> list[float]:
    """The same of Ultralytics' own loop."""
    import torch
    from ultralytics import YOLO

    torch.set_num_threads(1)
    marks = list[float]()
    for result in YOLO(checkpoint).predict(str(clip), stream=True, imgsz=_SIZE, device="cpu", verbose=False):
        result.plot()
        marks.append(time.perf_counter())
    return marks


if __name__ == "__main__":
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    work = {"ours": _ours, "peer": _ultralytics, "video": _with_video}[sys.argv[1]]
    ends = work(Path(sys.argv[2]), Path(sys.argv[3]))
    if len(ends) != _FRAMES:
        sys.exit(f"bench: {len(ends)} of {_FRAMES} frames were seen")
    print(json.dumps({"ms": (ends[-1] - ends[_WARM]) / (len(ends) - 1 - _WARM) * 1e3}))
