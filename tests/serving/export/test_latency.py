"""A busy machine does not decide about a latency: rounds that were disturbed do not count, and the load is on record."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from serving.export import latency
from serving.export.latency import OtherLoad, measure_latency, summarize, time_rounds

QUIET_MS = 4.0


@contextmanager
def busy_processes(count: int) -> Iterator[None]:
    """Others that never rest."""
    processes = [subprocess.Popen([sys.executable, "-S", "-c", "while True: pass"]) for _ in range(count)]
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()


def work(_: int) -> None:
    """Something that needs a processor for 4 ms of its own time."""
    end = time.thread_time() + QUIET_MS / 1e3
    while time.thread_time() < end:
        pass


@pytest.mark.skipif(
    not Path("/proc/thread-self/schedstat").exists(), reason="this kernel does not count waiting for a processor"
)
@pytest.mark.parametrize("per_processor", [0, 2])
def test_processes_that_never_rest_do_not_make_an_answer_slower(per_processor: int) -> None:
    with busy_processes(per_processor * (os.cpu_count() or 1)):
        others = OtherLoad()
        p50, p95 = summarize(time_rounds(work, 3), 3)
        load = others.share()
    assert QUIET_MS <= p50 * 1e3 < QUIET_MS * 2
    assert QUIET_MS <= p95 * 1e3 < QUIET_MS * 2.5
    assert load > (0.6 if per_processor else -1)


@pytest.mark.parametrize("disturbed", [1, 3, 6])
def test_one_round_that_nobody_disturbed_is_enough(disturbed: int) -> None:
    random = np.random.default_rng(disturbed)
    quiet = [0.010 + 0.001 * (turn % 20) for turn in range(20)]
    loud = [[span * random.uniform(2, 9) for span in quiet] for _ in range(disturbed)]
    p50, p95 = summarize([*loud, quiet], 20)
    assert p50 == pytest.approx(np.median(quiet))
    assert p95 == pytest.approx(np.quantile(quiet, 0.95))


def test_a_picture_that_is_slow_each_time_is_in_the_p95() -> None:
    spans = [0.001] * 18 + [0.1] * 2
    assert summarize([spans] * 7, 20)[1] == pytest.approx(0.1)
    assert summarize([[0.002, 0.001] * 10] * 3, 2) == (pytest.approx(0.0015), pytest.approx(0.00195))


def test_a_model_that_takes_long_is_not_asked_in_every_round(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(range(100_000))
    monkeypatch.setattr(latency.time, "perf_counter", lambda: next(clock))
    monkeypatch.setattr(latency.time, "sleep", lambda _: None)
    assert len(time_rounds(lambda _: None, 1)) == 3


def test_a_bundle_is_timed_in_a_process_of_its_own(make_bundle: Callable[..., object], tmp_path: Path) -> None:
    make_bundle(tmp_path / "bundle")
    Image.new("RGB", (64, 64), "red").save(tmp_path / "red.png")
    measured = measure_latency(tmp_path / "bundle", [tmp_path / "red.png"])
    assert 0 < measured.p50_ms <= measured.p95_ms
    assert (measured.rounds, measured.requests) == (5, 100)
    assert measured.load is not None
    assert 0 <= measured.load <= 1
    assert not measured.model_copy(update={"load": 0.4}).disturbed
    assert measured.model_copy(update={"load": 0.9}).disturbed
    assert not measured.model_copy(update={"load": None}).disturbed
