"""What `modelyard train --dry-run` says of twenty small jobs, and what they take.

python bench/quoting.py [JOBS]     a line for each of the first so many jobs, and what they come to
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

from pipelines.data.build import build_dataset
from pipelines.data.dataset import DataSet
from pipelines.demo.clips import Film, film_digits
from pipelines.job.jobfile import Data
from pipelines.job.launch import LocalLaunch
from pipelines.job.trainers import TorchTrainer, TrainerConfig, YoloTrainer
from pipelines.training.launchers.choose import launched
from pipelines.training.quotes.estimate import Span, estimate
from pipelines.training.quotes.planned import planned_epochs
from pipelines.training.quotes.probe import Probe
from pipelines.training.trainers.contract import Watch
from registry.settings import Settings

WITHIN = 0.10
FILMS = {
    "small": Film(clips=6, frames=6, size=96, digits=(0, 1, 2)),
    "middle": Film(clips=8, frames=8, size=96, digits=(0, 1, 2, 3, 4)),
    "large": Film(clips=10, frames=10, size=128, digits=tuple(range(8))),
}


def jobs() -> list[tuple[str, TrainerConfig]]:
    """A data set's name and a trainer: other networks, sizes, batches, ways and numbers of epochs. Each takes seconds."""
    lite0: dict[str, Any] = {"arch": "efficientnet_lite0", "weights": "imagenet"}
    cnn: dict[str, Any] = {"arch": "small_cnn", "weights": "scratch"}
    return [
        ("small", TorchTrainer(**cnn, imgsz=64, epochs=60)),
        ("middle", TorchTrainer(**lite0, imgsz=128, freeze="backbone")),
        ("small", YoloTrainer(imgsz=64, epochs=8)),
        ("large", TorchTrainer(**cnn, imgsz=64, epochs=10)),
        ("small", TorchTrainer(**cnn, imgsz=32, epochs=200)),
        ("small", TorchTrainer(**cnn, imgsz=96, epochs=30, batch=16)),
        ("middle", TorchTrainer(**cnn, imgsz=64, epochs=15)),
        ("middle", TorchTrainer(**cnn, imgsz=32, epochs=40, batch=64)),
        ("large", TorchTrainer(**cnn, imgsz=32, epochs=20)),
        ("large", TorchTrainer(**cnn, imgsz=96, epochs=3)),
        ("small", TorchTrainer(**lite0, imgsz=128, freeze="backbone")),
        ("small", TorchTrainer(**lite0, imgsz=224, freeze="backbone")),
        ("small", TorchTrainer(**lite0, imgsz=96, freeze="none", epochs=10)),
        ("middle", TorchTrainer(**lite0, imgsz=64, freeze="none", epochs=4)),
        ("small", TorchTrainer(arch="resnet18", weights="scratch", imgsz=64, epochs=10)),
        ("middle", TorchTrainer(arch="mobilenet_v3_small", weights="scratch", imgsz=64, epochs=6)),
        ("small", TorchTrainer(arch="shufflenet_v2_x0_5", weights="scratch", imgsz=96, epochs=12)),
        ("middle", YoloTrainer(imgsz=32, epochs=5)),
        ("small", YoloTrainer(imgsz=64, epochs=20, loop="fast")),
        ("middle", YoloTrainer(imgsz=96, epochs=4, loop="fast", batch=16)),
    ]


class Quoted(NamedTuple):
    """A job's quote, how long it took to make, and how long the training then took, in seconds."""

    name: str
    span: Span
    quoting_s: float
    seconds: float

    @property
    def error(self) -> float:
        """By which share the likely figure was off."""
        return abs(self.span.likely - self.seconds) / self.seconds

    @property
    def held(self) -> bool:
        """Whether it was within the interval."""
        return self.span.low <= self.seconds <= self.span.high


def quote_jobs(number: int) -> list[Quoted]:
    """Quote and train the first so many jobs, each from an empty cache, by the local launcher."""
    with tempfile.TemporaryDirectory(prefix="modelyard-bench-") as folder:
        root = Path(folder)
        films = {name: film_digits(root / "clips" / name, film, lambda *_: None) for name, film in FILMS.items()}
        data = {name: build_dataset(Data(clips=clips), root / name, lambda *_: None) for name, clips in films.items()}
        return [_quote(config, data[name], root / f"job{index}") for index, (name, config) in enumerate(jobs()[:number])]


def _quote(config: TrainerConfig, data: DataSet, root: Path) -> Quoted:
    def make(config: TrainerConfig) -> Any:
        return launched(config, LocalLaunch(), Settings(), lambda _: None)

    root.mkdir()
    batch, images = int(getattr(config, "batch", 0)), len(data.rows("train"))
    began = time.perf_counter()
    timing = Probe(make, root / "cache", lambda _: None).time(config, data, batch)
    span = estimate([timing], planned_epochs(config, images, [timing]))
    quoted = time.perf_counter()
    (root / "checkpoints").mkdir()
    make(config).fit(data, root / "work", Watch(checkpoints=root / "checkpoints", cache=root / "cache"))
    name = f"{config.kind} {config.arch} {config.imgsz} on {images} images, {getattr(config, 'epochs', None)} epochs"  # type: ignore[union-attr]
    row = Quoted(name, span, quoted - began, time.perf_counter() - quoted)
    verdict = f"{row.error:.1%} off, {'held' if row.held else 'not held'}"
    print(f"{name}: quoted {span} in {row.quoting_s:.0f} s, took {row.seconds:.1f} s: {verdict}", file=sys.stderr)
    return row


def summed(rows: list[Quoted]) -> str:
    """What the jobs come to, in a sentence."""
    errors = [row.error for row in rows]
    near, held = sum(error <= WITHIN for error in errors), sum(row.held for row in rows)
    middle = statistics.median(errors)
    return f"{near} of {len(rows)} within {WITHIN:.0%}, {held} within their interval; median error {middle:.1%}"


def ninth_of_ten(rows: list[Quoted]) -> float:
    """The error that nine of ten jobs are within, in percent."""
    errors = sorted(row.error for row in rows)
    return 100 * errors[min(len(errors) - 1, -(-9 * len(errors) // 10) - 1)]


if __name__ == "__main__":
    print(summed(quote_jobs(int(sys.argv[1]) if len(sys.argv) > 1 else len(jobs()))))
