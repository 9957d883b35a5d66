"""Metrics count without growing."""

from __future__ import annotations

import math
import subprocess
import sys
import time
from types import SimpleNamespace
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from serving.server.metrics import Metrics
from serving.server.protocols.served import Served
from serving.workers.pool import Timings


def test_figures_that_nobody_reads_do_not_pile_up() -> None:
    timings = Timings()
    metrics = Metrics(Served("colours", 1, "0" * 64, ["red"], (3,)), timings)
    for _ in range(2500):
        timings.batches.append((1, 0.001, 0.001))
        metrics.count_request("plain", 200, 0.002)
        metrics.count_answer("red", 0.7)
    assert max(len(timings.batches), len(metrics._requests), len(metrics._answers)) < 1000


def samples_of(metrics: Metrics) -> dict[tuple[str, str], float]:
    """Each sample's name and upper edge, "" for none, → its value."""
    page = metrics.render(SimpleNamespace(waiting=0, alive=1, size=1)).decode()  # type: ignore[arg-type]
    families: Any = text_string_to_metric_families(page)
    return {(sample.name, sample.labels.get("le", "")): sample.value for family in families for sample in family.samples}


def test_the_best_score_of_each_picture_is_counted_in_its_bucket() -> None:
    metrics = Metrics(Served("colours", 1, "0" * 64, ["red"], (3,)), Timings())
    for score in (0.0, 0.05, 0.55, 0.95, 1.0000001, math.nan):
        metrics.count_answer("red", score)
    samples = samples_of(metrics)
    counts = {edge: samples["modelyard_prediction_score_bucket", edge] for edge in ("0.1", "0.5", "0.6", "0.9", "1.0", "+Inf")}
    assert counts == {"0.1": 2, "0.5": 2, "0.6": 3, "0.9": 3, "1.0": 5, "+Inf": 5}
    assert math.isfinite(samples["modelyard_prediction_score_sum", ""])


def test_the_start_is_that_of_the_server_and_not_of_the_first_scrape() -> None:
    before = time.time()
    metrics = Metrics(Served("colours", 1, "0" * 64, ["red"], (3,)), Timings())
    after = time.time()
    time.sleep(0.05)
    assert before <= samples_of(metrics)["modelyard_started_seconds", ""] <= after


def test_counting_does_not_import_the_client_library() -> None:
    code = """
import sys
from serving.server.metrics import Metrics
from serving.server.protocols.served import Served
from serving.workers.pool import Timings
metrics = Metrics(Served("colours", 1, "0" * 64, ["red"], (3,)), Timings())
for _ in range(900):
    metrics.count_request("plain", 200, 0.002)
    metrics.count_answer("red", 0.7)
assert "prometheus_client" not in sys.modules
metrics.count_answer("red", 0.7)
"""
    subprocess.run([sys.executable, "-P", "-c", code], check=True)
