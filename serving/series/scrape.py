"""A page of `/metrics` of ours as figures. What is no request, such as a health check, is in none of them."""

from __future__ import annotations

from math import isfinite
from time import time
from typing import Any, NamedTuple

from prometheus_client.parser import text_string_to_metric_families

from serving.inference.traffic import is_request
from serving.series.buckets import from_cumulative, quantile
from serving.series.interval import Counters

_ERRORS, _REFUSED = 500, 400
_MOST = 2.0**53
"""Up to which a count that comes as a floating-point number is exact."""
_HISTOGRAMS = {"modelyard_request_seconds_bucket": "latency", "modelyard_prediction_score_bucket": "scores"}
_BUSY = {"modelyard_decode_seconds_sum", "modelyard_predict_seconds_sum"}


class Scrape(NamedTuple):
    """What a page says. `served` is the version that answers, "" where a server of an older release does not say."""

    counters: Counters
    served: str
    waiting: float | None
    workers: float | None
    busy_seconds: float

    def figures(self) -> dict[str, Any]:
        """Requests, errors, latency and load since the process started."""
        latency, started = self.counters.latency, self.counters.started
        return {
            "requests": self.counters.requests,
            "errors": self.counters.errors,
            "refused": self.counters.refused,
            "p50_ms": _milliseconds(quantile(latency, 0.5)),
            "p95_ms": _milliseconds(quantile(latency, 0.95)),
            "p99_ms": _milliseconds(quantile(latency, 0.99)),
            "waiting": self.waiting,
            "seconds": max(time() - started, 0.0) if started else None,
            "busy_seconds": self.busy_seconds,
            "workers": self.workers,
        }


def _milliseconds(seconds: float | None) -> float | None:
    return None if seconds is None else 1000 * seconds


def parse_metrics(page: str) -> Scrape:
    """A Prometheus page of ours. Raises ValueError for any other text."""
    counts, gauges, served, busy = {"requests": 0, "errors": 0, "refused": 0}, dict[str, float](), "", 0.0
    histograms: dict[str, dict[float, float]] = {"latency": {}, "scores": {}}
    for family in text_string_to_metric_families(page):
        for sample in family.samples:
            name, labels, value = sample.name, sample.labels, float(sample.value)
            if not is_request(labels.get("protocol", "")):
                continue
            if name == "modelyard_requests_total":
                _count(counts, int(labels.get("status", "0")), _counted(value))
            elif kind := _HISTOGRAMS.get(name):
                edge = float(labels["le"])
                histograms[kind][edge] = histograms[kind].get(edge, 0.0) + _counted(value)
            elif name in _BUSY:
                busy += value
            elif name == "modelyard_bundle_info":
                served = f"{labels.get('model', '')}/{labels.get('version', '')}"
            elif not labels:
                gauges[name] = value
    latency, scores = from_cumulative(histograms["latency"]), from_cumulative(histograms["scores"])
    started = gauges.get("modelyard_started_seconds", 0.0)
    counters = Counters(started if isfinite(started) else 0.0, **counts, latency=latency, scores=scores)
    workers = gauges.get("modelyard_worker_slots", gauges.get("modelyard_workers"))
    return Scrape(counters, served, gauges.get("modelyard_queue_pictures"), workers, busy)


def _count(counts: dict[str, int], status: int, requests: int) -> None:
    counts["requests"] += requests
    if status >= _ERRORS:
        counts["errors"] += requests
    elif status >= _REFUSED:
        counts["refused"] += requests


def _counted(value: float) -> int:
    if not 0 <= value < _MOST:  # nor is NaN
        message = f"{value} is no count"
        raise ValueError(message)
    return int(value)
