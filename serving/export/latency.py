"""Latency: milliseconds from image bytes to answer, in a fresh process, on a machine that does other things as well.

python -m serving.export.latency JOB.json      what the fresh process runs

What else runs makes an answer slower and never faster. So the time in which the thread waited for a processor that others
had is taken off, where the kernel counts it (Linux), and each picture is asked about in several rounds: p50 is the least of
the rounds' medians, and p95 that of the pictures' fastest answers. ONNX Runtime gets one thread, as in a worker of our server
unless it is told otherwise. How busy others kept the processors meanwhile is recorded.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import psutil

from registry.records import Latency
from serving.export.subprocess_job import Bounds, run_subprocess
from serving.inference.predictor import load_predictor

LATENCY_IMAGES = 20
ROUNDS = 5
_LEAST_ROUNDS = 3
_LONG_S = 30.0
"""After which no further round begins, for a model that takes a second."""
_REQUESTS = 20
_WARM_UP = 5
_PAUSE_S = 0.005
"""Before each request, as between those of users: a process that never rests is made to wait in the middle of an answer."""


def measure_latency(bundle: Path, images: Sequence[Path], bounds: Bounds | None = None) -> Latency:
    """Time rounds of single predictions in a new process, over the given images in turn."""
    job = {"bundle": str(bundle.absolute()), "images": [str(image.absolute()) for image in images]}
    return Latency.model_validate(run_subprocess([sys.executable, "-P", "-m", __name__], job, "latency", bounds=bounds))


def time_rounds(answer: Callable[[int], object], images: int) -> list[list[float]]:
    """Seconds of each request, round by round; `answer` is called with an image's number, in turn."""
    for turn in range(_WARM_UP):
        answer(turn % images)
    rounds, began = list[list[float]](), time.perf_counter()
    with _waiting_time() as waited:
        while len(rounds) < ROUNDS and (len(rounds) < _LEAST_ROUNDS or time.perf_counter() - began < _LONG_S):
            spans: list[float] = []
            for turn in range(max(_REQUESTS, images)):
                time.sleep(_PAUSE_S)
                spans.append(_time(lambda image=turn % images: answer(image), waited))
            rounds.append(spans)
    return rounds


def _time(request: Callable[[], object], waited: Callable[[], float]) -> float:
    """Seconds that a request takes, without those in which this thread was ready and others had the processors."""
    before, start, began = waited(), time.perf_counter(), time.thread_time()
    request()
    used, span = time.thread_time() - began, time.perf_counter() - start
    return max(span - (waited() - before), used)


@contextmanager
def _waiting_time() -> Generator[Callable[[], float]]:
    """A function for the seconds that this thread has waited for a processor so far; always 0 where nobody counts them."""
    try:
        counters = os.open("/proc/thread-self/schedstat", os.O_RDONLY)
    except OSError:
        yield lambda: 0.0
        return
    try:
        yield lambda: int(os.pread(counters, 100, 0).split()[1]) / 1e9
    finally:
        os.close(counters)


def summarize(rounds: Sequence[Sequence[float]], images: int) -> tuple[float, float]:
    """p50 and p95 in seconds: the least of the rounds' medians, and the 95 % quantile of the images' fastest answers."""
    spans = np.asarray(rounds)
    p50 = float(np.median(spans, axis=1).min())
    fastest = [spans[:, image::images].min() for image in range(min(images, spans.shape[1]))]
    return p50, max(p50, float(np.quantile(fastest, 0.95)))


class OtherLoad:
    """The share of the processors that other processes keep busy, from when this is made until `share` is asked for."""

    def __init__(self) -> None:
        self._began = _processor_seconds()

    def share(self) -> float:
        """Between 0 and 1."""
        busy, total, own = (after - before for before, after in zip(self._began, _processor_seconds(), strict=True))
        return min(max((busy - own) / total, 0.0), 1.0) if total > 0 else 0.0


def _processor_seconds() -> tuple[float, float, float]:
    """Busy and all seconds of all processors, and those of this process."""
    times, own = psutil.cpu_times(), psutil.Process().cpu_times()
    total = sum(times) - getattr(times, "guest", 0.0) - getattr(times, "guest_nice", 0.0)  # those are in `user` already
    return total - times.idle - getattr(times, "iowait", 0.0), total, own.user + own.system


def _measure(bundle: Path, images: list[bytes]) -> Latency:
    """The measurement itself."""
    began = time.perf_counter()
    predictor = load_predictor(bundle, threads=1)
    predictor.predict(images[:1])
    first = time.perf_counter() - began
    others = OtherLoad()
    rounds = time_rounds(lambda image: predictor.predict([images[image]]), len(images))
    p50, p95 = summarize(rounds, len(images))
    return Latency(
        p50_ms=p50 * 1e3,
        p95_ms=p95 * 1e3,
        first_ms=first * 1e3,
        requests=sum(map(len, rounds)),
        rounds=len(rounds),
        load=others.share(),
    )


if __name__ == "__main__":
    job = json.loads(Path(sys.argv[1]).read_text())
    pictures = [Path(image).read_bytes() for image in job["images"]]
    Path(job["report"]).write_text(_measure(Path(job["bundle"]), pictures).model_dump_json())
