"""The rows about `loop: fast`: how much time decoding once and augmenting in memory saves."""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from clips import SkippedError
from exporting import digits
from PIL import Image

from pipelines.data.build import build_dataset
from pipelines.data.dataset import DataSet
from pipelines.job.jobfile import Data

_SEEDS, _YOLO_EPOCHS, _CAMERA = 5, 12, 480


def rows() -> dict[str, Callable[[], dict[str, Any]]]:
    """Every row by its name."""
    return {"train_fast_cpu": train_fast_cpu, "train_fast_gpu": train_fast_gpu}


def train_fast_cpu() -> dict[str, Any]:
    """`yolov8n-cls` on frames of a camera's size, 12 epochs: our loop (`loop: fast`, ours) and Ultralytics' `train()` (peer).

    The demo's digits, enlarged to 480 x 480 pixels, about a thousand frames to train on at 64. Decoding, training and
    packaging; five seeds, alternating; means. The limit is the peer / 2.5, at a mean top-1 on the test split that is no
    lower. Where frames are as small as the network's input there is nothing to decode once, and the ratio is about 1.6.
    """
    return _fast("cpu", 2.5)


def train_fast_gpu() -> dict[str, Any]:
    """The same on an NVIDIA GPU, where the step is one CUDA graph. The limit is the peer / 10."""
    import torch

    if not torch.cuda.is_available():
        raise SkippedError("this machine has no NVIDIA GPU")
    return _fast("cuda", 10.0)


def _fast(device: str, faster: float) -> dict[str, Any]:
    from pipelines.training.trainers.devices import use_device

    use_device(device, "yolo")
    spans: dict[str, list[float]] = {"ours": [], "peer": []}
    right: dict[str, list[float]] = {"ours": [], "peer": []}
    with tempfile.TemporaryDirectory(prefix="modelyard-bench-") as folder:
        root = Path(folder)
        data = _filmed(root)
        _trained_yolo(data, root / "warm", "fast", 0)
        for seed in range(_SEEDS):
            for name, loop in (("ours", "fast"), ("peer", "ultralytics")):
                seconds, top1 = _trained_yolo(data, root / f"{name}{seed}", loop, seed)
                spans[name].append(seconds)
                right[name].append(top1)
    means = {name: statistics.mean(values) for name, values in spans.items()}
    top1 = {name: statistics.mean(values) for name, values in right.items()}
    note = f"top-1 {top1['ours']:.3f} and {top1['peer']:.3f}, means of {_SEEDS} seeds"
    if top1["ours"] < top1["peer"]:
        note += "; ours is lower, which the time does not excuse"
    return {**means, "limit": means["peer"] / faster, "unit": "s", "note": note}


def _filmed(root: Path) -> DataSet:
    """The frames of the demo's digits, enlarged to those of a camera of 480 lines."""
    small, images = digits(root / "small"), root / "images"
    for row in small.manifest.frames:
        (to := images / row.labels[0] / Path(row.file).name).parent.mkdir(parents=True, exist_ok=True)
        with Image.open(small.folder / row.file) as frame:
            frame.resize((_CAMERA, _CAMERA), Image.Resampling.BICUBIC).save(to, quality=90)
    return build_dataset(Data(images=images, group=r"^(scan\d+)"), root / "dataset", lambda *_: None)


def _trained_yolo(data: DataSet, work: Path, loop: str, seed: int) -> tuple[float, float]:
    """Seconds of a training, and its model's top-1 on the test split through the bundle's own preprocessing."""
    import numpy as np

    from pipelines.job.trainers import YoloTrainer
    from pipelines.training.trainers.build import build_trainer
    from pipelines.training.trainers.contract import Watch
    from serving.bundle.modelinfo import read_info
    from serving.export.reference import Reference

    config = YoloTrainer.model_validate({"epochs": _YOLO_EPOCHS, "imgsz": 64, "loop": loop, "seed": seed})
    work.mkdir()
    began = time.perf_counter()
    fitted = build_trainer(config, Path()).fit(data, work, Watch())
    seconds = time.perf_counter() - began
    rows = data.rows("test")
    answers = Reference(fitted.folder, read_info(fitted.folder, "bench"), Path()).probabilities(data.files(rows))
    return seconds, float((answers.argmax(1) == np.array(data.targets(rows))).mean())
