"""The rows about training: what tracking costs, and how far quotes and learning curves are off."""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from clips import _SHARED, SkippedError
from fast_rows import rows as fast_rows

Row = Callable[[], dict[str, Any]]
_EPOCHS, _PAIRS = 40, 3
_MOST, _MISSES = 1.02, 0.1


def rows() -> dict[str, Row]:
    """Every row by its name."""
    named = (tracking_overhead, train_quote, curve_misses)
    return {**{bench.__name__: bench for bench in named}, **fast_rows()}


def curve_misses() -> dict[str, Any]:
    """The learning curve on sign-digits: the share of predictions whose 90 % interval does not contain what was measured.

    With 6, 10 and 16 signers, 3, 5 and 10 more are predicted, for all classes together and for three; measured on 140 others
    and more, ten draws each. The limit is 0.1, and the same intervals shrunk to a tenth have to miss more.
    """
    from curve_coverage import all_cases

    if not _SHARED.is_dir():
        raise SkippedError("../shared/data is not here")
    cases = all_cases(_SHARED / "sign-digits.zip", 10)
    missed, control = (sum(not case.covered(share) for case in cases) / len(cases) for share in (1.0, 0.1))
    if control <= _MISSES:
        raise SystemExit("bench: intervals shrunk to a tenth cover as much: nothing was measured")
    return {"ours": max(missed, 0.5 / len(cases)), "peer": None, "limit": _MISSES, "unit": "share"}


def tracking_overhead() -> dict[str, Any]:
    """The demo's digits, 40 epochs of `small_cnn`, tracked by a real MLflow server on this machine (ours), and not (peer).

    Tracked is everything that a run gets while it trains and at its end: parameters, tags, data sets, code version, system
    metrics, each epoch, its name and its curves. Not counted is the registration of the model, which is no tracking. Both keep
    checkpoints, which a training does to survive a kill, whether anything tracks it or not.
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
    (checkpoints := work / "checkpoints").mkdir()
    began = time.perf_counter()
    adapter.fit(data, work / str(began), Watch(on_epoch, checkpoints=checkpoints))
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
