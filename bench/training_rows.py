"""The rows about training: what tracking costs, and how much time decoding once and augmenting in memory saves."""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from clips import SkippedError

Row = Callable[[], dict[str, Any]]
_EPOCHS, _PAIRS = 40, 3
_MOST = 1.02
_SEEDS, _YOLO_EPOCHS = 5, 12


def rows() -> dict[str, Row]:
    """Every row by its name."""
    fast = {"train_fast_cpu": train_fast_cpu, "train_fast_gpu": train_fast_gpu}
    return {"tracking_overhead": tracking_overhead, "train_quote": train_quote, **fast}


def train_fast_cpu() -> dict[str, Any]:
    """`yolov8n-cls` on the demo's digits, 12 epochs: our loop (`loop: fast`, ours) and Ultralytics' `train()` (peer).

    Decoding, training and packaging; five seeds, alternating; means. The limit is the peer / 2.5, at a mean top-1 on the
    test split that is no lower.
    """
    return _fast("cpu", 2.5)


def train_fast_gpu() -> dict[str, Any]:
    """The same on an NVIDIA GPU, where the step is one CUDA graph. The limit is the peer / 10."""
    import torch

    if not torch.cuda.is_available():
        raise SkippedError("this machine has no NVIDIA GPU")
    return _fast("cuda", 10.0)


def _fast(device: str, faster: float) -> dict[str, Any]:
    from exporting import digits

    from pipelines.training.trainers.devices import use_device

    use_device(device, "yolo")
    spans: dict[str, list[float]] = {"ours": [], "peer": []}
    right: dict[str, list[float]] = {"ours": [], "peer": []}
    with tempfile.TemporaryDirectory(prefix="modelyard-bench-") as folder:
        root = Path(folder)
        data = digits(root)
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


def _trained_yolo(data: Any, work: Path, loop: str, seed: int) -> tuple[float, float]:
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


def tracking_overhead() -> dict[str, Any]:
    """The demo's digits, 40 epochs of `small_cnn`, tracked by a real MLflow server on this machine (ours), and not (peer).

    Tracked is everything that a run gets while it trains and at its end: parameters, tags, data sets, code version, system
    metrics, each epoch, its name and its curves. Not counted is the registration of the model, which is no tracking.
    Alternating, the least of three each: what else the machine does only ever adds. The limit is 1.02 times the peer.
    """
    from exporting import digits
    from registry_scale import _server

    from pipelines.job.trainers import TorchTrainer
    from pipelines.training.trainers.build import build_trainer
    from registry.mlflow.tracker import Tracker

    config = TorchTrainer(arch="small_cnn", imgsz=64, epochs=_EPOCHS)
    with tempfile.TemporaryDirectory(prefix="modelyard-bench-") as folder:
        root = Path(folder)
        data = digits(root)
        adapter = build_trainer(config, Path())
        _fit(adapter, data, root / "warm", lambda *_: None)
        spans: dict[str, list[float]] = {"ours": [], "peer": []}
        with _server(root / "home", "modelyard") as uri:
            tracker = Tracker(uri, "digits3")
            _tracked(tracker, adapter, config, data, root / "warm")  # the first requests make the server's tables
            for turn in range(_PAIRS):
                spans["peer"].append(_fit(adapter, data, root / f"peer{turn}", lambda *_: None))
                spans["ours"].append(_tracked(tracker, adapter, config, data, root / f"ours{turn}"))
    least = {name: min(seconds) for name, seconds in spans.items()}
    return {**least, "limit": _MOST * least["peer"], "unit": "s"}


def train_quote() -> dict[str, Any]:
    """By how much `train --dry-run` is off on nine of twenty small jobs in ten, in percent of what they then took.

    Other networks, image sizes, batches, frozen, fine-tuned and from scratch, each quoted by timed epochs and then trained by
    the local launcher, both from an empty cache. Epochs are given, because how early a budget ends is up to val. Limit 10 %.
    """
    from quoting import jobs, ninth_of_ten, quote_jobs, summed

    rows = quote_jobs(len(jobs()))
    print(f"train_quote: {summed(rows)}", file=sys.stderr)
    return {"ours": ninth_of_ten(rows), "peer": None, "limit": 10.0, "unit": "%"}


def _fit(adapter: Any, data: Any, work: Path, on_epoch: Callable[[int, Mapping[str, float]], None]) -> float:
    """Seconds of one training."""
    from pipelines.training.trainers.contract import Watch

    work.mkdir(exist_ok=True)
    began = time.perf_counter()
    adapter.fit(data, work / str(began), Watch(on_epoch))
    return time.perf_counter() - began


class _UnregisteredError(Exception):
    """Ends a tracked training before its model is registered."""


def _tracked(tracker: Any, adapter: Any, config: Any, data: Any, work: Path) -> float:
    """Seconds of the same within `train`, up to where the model would be registered."""
    from pipelines.training.train import train
    from pipelines.training.trainers.contract import Watch
    from pipelines.training.training import Kept, Training
    from registry.memory import MemoryLedger, MemoryStore
    from registry.money.prices import local_price
    from registry.records import Actor, DataVerdict
    from registry.settings import Settings

    work.mkdir(exist_ok=True)
    verdict = DataVerdict(dataset=data.manifest.digest, holds=True, errors=0, warnings=0)
    price, kept = local_price(Settings()), Kept(trainings=work / "trainings")
    training = Training(adapter, config, "torch", data, "digits3", price, Actor("bench"), verdict, kept, "digits3@1")

    def say(line: str) -> None:
        if "registering" in line:
            raise _UnregisteredError

    began = time.perf_counter()
    with suppress(_UnregisteredError):
        train(MemoryStore(), MemoryLedger(), tracker, training, Watch(), say)
    return time.perf_counter() - began
