"""Latency: milliseconds from image bytes to answer, in a fresh process.

python -m serving.export.latency JOB.json      what the fresh process runs
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from registry.records import Latency
from serving.export.subprocess_job import Bounds, run_subprocess
from serving.inference.predictor import load_predictor

_REQUESTS = 100
_WARM_UP = 5


def measure_latency(bundle: Path, images: Sequence[Path], bounds: Bounds | None = None) -> Latency:
    """Time `_REQUESTS` single predictions in a new process, over the given images in turn."""
    job = {"bundle": str(bundle.absolute()), "images": [str(image.absolute()) for image in images]}
    return Latency.model_validate(run_subprocess([sys.executable, "-P", "-m", __name__], job, "latency", bounds=bounds))


def _time_one(bundle: Path, images: list[bytes]) -> Latency:
    """The measurement itself."""
    began = time.perf_counter()
    predictor = load_predictor(bundle)
    predictor.predict(images[:1])
    first = time.perf_counter() - began
    spans: list[float] = []
    for turn in range(_WARM_UP + _REQUESTS):
        start = time.perf_counter()
        predictor.predict([images[turn % len(images)]])
        spans.append(time.perf_counter() - start)
    p50, p95 = np.quantile(spans[_WARM_UP:], [0.5, 0.95])
    return Latency(p50_ms=p50 * 1e3, p95_ms=p95 * 1e3, first_ms=first * 1e3, requests=_REQUESTS)


if __name__ == "__main__":
    job = json.loads(Path(sys.argv[1]).read_text())
    pictures = [Path(image).read_bytes() for image in job["images"]]
    Path(job["report"]).write_text(_time_one(Path(job["bundle"]), pictures).model_dump_json())
