"""The metrics in Prometheus' own client library."""

from __future__ import annotations

from collections import Counter as Counted
from collections.abc import Sequence
from math import isfinite

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info, generate_latest

from serving.server.protocols.served import Served
from serving.workers.pool import Timings, WorkerPool

_SPANS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10)
_SIZES = (1, 2, 4, 8, 16, 32)
_SCORES = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)


class Figures:
    """The metrics of one server."""

    def __init__(self, served: Served, started: float) -> None:
        """In a registry of its own: two servers in a process do not share metrics. `started` is in seconds since 1970."""
        self._registry = given = CollectorRegistry()
        labels = ["protocol", "status"]
        by = "Requests by protocol and HTTP status; health checks count as `health`, everything else as `other`"
        self._requests = Counter("modelyard_requests_total", by, labels, registry=given)
        self._seconds = Histogram(
            "modelyard_request_seconds",
            "From a request's head to its answer's end",
            ["protocol"],
            buckets=_SPANS,
            registry=given,
        )
        self._answers = Counter("modelyard_predictions_total", "Pictures answered, by best label", ["label"], registry=given)
        best = "The best label's score of each picture that was answered"
        self._scores = Histogram("modelyard_prediction_score", best, buckets=_SCORES, registry=given)
        self._decode = Histogram("modelyard_decode_seconds", "A batch's decoding", buckets=_SPANS, registry=given)
        self._predict = Histogram("modelyard_predict_seconds", "A batch's prediction", buckets=_SPANS, registry=given)
        self._batch = Histogram("modelyard_batch_pictures", "Pictures in a batch", buckets=_SIZES, registry=given)
        self._waiting = Gauge("modelyard_queue_pictures", "Pictures that wait in line", registry=given)
        self._workers = Gauge("modelyard_workers", "Workers that run", registry=given)
        slots = "Workers that are to run: each is busy for one second in a second at most"
        self._slots = Gauge("modelyard_worker_slots", slots, registry=given)
        self._started = Gauge("modelyard_started_seconds", "When the server started, in seconds since 1970", registry=given)
        self._started.set(started)
        self._restarts = Counter("modelyard_worker_restarts_total", "Workers that were started again", registry=given)
        about = {key: str(value) for key, value in served.named().items()}
        Info("modelyard_bundle", "What is served", registry=given).info(about)

    def add(self, requests: Sequence[tuple[str, int, float]], answers: Sequence[tuple[str, float]], timings: Timings) -> None:
        """Count requests (protocol, status, seconds), answers (label, score), and batches, which are removed from `timings`."""
        for protocol, status, seconds in requests:
            self._requests.labels(protocol, str(status)).inc()
            self._seconds.labels(protocol).observe(seconds)
        for label, count in Counted(label for label, _ in answers).items():
            self._answers.labels(label).inc(count)
        for _, score in answers:
            if isfinite(score):  # one that is not would leave no sum for all that follow
                self._scores.observe(min(score, 1.0))  # probabilities in float32 may add up to a bit more
        for pictures, decode_s, predict_s in timings.batches:
            self._batch.observe(pictures)
            self._decode.observe(decode_s)
            self._predict.observe(predict_s)
        self._restarts.inc(timings.restarts)
        timings.batches, timings.restarts = [], 0

    def render(self, pool: WorkerPool) -> bytes:
        """The page."""
        self._waiting.set(pool.waiting)
        self._workers.set(pool.alive)
        self._slots.set(pool.size)
        return generate_latest(self._registry)
