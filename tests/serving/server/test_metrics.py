"""Metrics count without growing."""

from __future__ import annotations

from serving.server.metrics import Metrics
from serving.server.protocols.served import Served
from serving.workers.pool import Timings


def test_figures_that_nobody_reads_do_not_pile_up() -> None:
    timings = Timings()
    metrics = Metrics(Served("colours", 1, "0" * 64, ["red"], (3,)), timings)
    for _ in range(2500):
        timings.batches.append((1, 0.001, 0.001))
        metrics.count_request("plain", 200, 0.002)
    assert len(timings.batches) == 500
    assert len(metrics._requests) == 500
