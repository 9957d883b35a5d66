"""Endpoints as they are now: figures from a page of metrics, and who is polled at all."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest

from registry.events import Deployed, about
from registry.records import ModelVersion
from registry.stages import Stage
from serving.series import polling
from serving.series.polling import poll_endpoints
from serving.series.scrape import parse_metrics

METRICS = """# TYPE modelyard_requests counter
modelyard_requests_total{protocol="plain",status="200"} 96.0
modelyard_requests_total{protocol="health",status="200"} 9999.0
modelyard_requests_total{protocol="v2",status="503"} 3.0
modelyard_requests_total{protocol="v2",status="415"} 1.0
# TYPE modelyard_request_seconds histogram
modelyard_request_seconds_bucket{protocol="plain",le="0.001"} 50.0
modelyard_request_seconds_bucket{protocol="plain",le="0.002"} 90.0
modelyard_request_seconds_bucket{protocol="plain",le="+Inf"} 100.0
# TYPE modelyard_prediction_score histogram
modelyard_prediction_score_bucket{le="0.5"} 20.0
modelyard_prediction_score_bucket{le="1.0"} 96.0
modelyard_prediction_score_bucket{le="+Inf"} 96.0
# TYPE modelyard_queue_pictures gauge
modelyard_queue_pictures 4.0
# TYPE modelyard_bundle_info gauge
modelyard_bundle_info{model="hand",version="2",bundle="b"} 1.0
# TYPE modelyard_started_seconds gauge
modelyard_started_seconds 1.75e+09
"""


def row(url: str, target: str = "local") -> Deployed:
    fields = {"stage": Stage.PRODUCTION, "bundle": "b", "usd_per_month": Decimal(0), "price_as_of": "x", "smoke_images": 1}
    return Deployed(**about(ModelVersion("hand", 1, 1), "d"), target=target, url=url, **fields)


@contextmanager
def answering(body: bytes, *, endless: bool = False) -> Iterator[tuple[str, list[str]]]:
    """A server that answers with a body, once or for ever; its address, and the keys that it was shown."""
    keys = list[str]()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            keys.append(self.headers.get("Authorization", ""))
            self.send_response(200)
            self.end_headers()
            self.wfile.write(body)
            try:
                while endless:
                    self.wfile.write(b"# x\n")
                    time.sleep(0.05)
            except OSError:
                pass

        def log_message(self, *_: object) -> None:
            """Nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", keys
    finally:
        server.shutdown()
        server.server_close()


def test_figures_are_read_from_a_prometheus_page() -> None:
    scrape = parse_metrics(METRICS)
    figures, counters = scrape.figures(), scrape.counters
    assert (figures["requests"], figures["errors"], figures["refused"], figures["waiting"]) == (100, 3, 1, 4)
    assert figures["p50_ms"] == pytest.approx(1.0)
    assert (figures["p95_ms"], figures["p99_ms"]) == (pytest.approx(2.0), pytest.approx(2.0))
    assert list(counters.latency.values()) == [50, 40, 10]
    assert list(counters.scores.values()) == [20, 76, 0]
    assert (counters.started, scrape.served) == (1.75e9, "hand/2")


@pytest.mark.parametrize(
    "page",
    [
        "<html>",
        METRICS.replace("96.0", "-1.0"),
        METRICS.replace("96.0", "NaN"),
        METRICS.replace("96.0", "1e300"),
        METRICS.replace("90.0", "10.0"),
        METRICS.replace('status="503"', 'status="x"'),
    ],
    ids=["no metrics", "negative", "no number", "too large", "a histogram that falls", "no status"],
)
def test_what_is_no_page_of_ours_is_refused(page: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        parse_metrics(page)


def test_nobody_wakes_an_endpoint_in_a_cloud_or_polls_another_machine_that_a_row_names() -> None:
    with answering(METRICS.encode()) as (url, keys):
        readings = poll_endpoints([row(url, "runpod"), row("http://169.254.169.254/")], {})
    assert all(reading.state.endswith("not polled, so that it can sleep") for reading in readings)
    assert keys == []


def test_a_poll_shows_the_key_and_asks_no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    with answering(METRICS.encode()) as (url, keys):
        (reading,) = poll_endpoints([row(url)], {"Authorization": "Bearer k"})
    assert (reading.state, reading.requests, reading.served, reading.version) == ("up", 100, "hand/2", "hand/1")
    assert (reading.endpoint, reading.name) == ("hand-production", "hand production")
    assert keys == ["Bearer k"]


@pytest.mark.parametrize("limits", [{"_MOST_BYTES": 3000}, {"_DEADLINE_S": 0.3}], ids=["size", "time"])
def test_a_page_that_does_not_end_is_cut_off(monkeypatch: pytest.MonkeyPatch, limits: dict[str, float]) -> None:
    for name, value in limits.items():
        monkeypatch.setattr(polling, name, value)
    with answering(METRICS.encode() + b"# x\n" * 1000, endless=True) as (url, _):
        began = time.monotonic()
        (reading,) = poll_endpoints([row(url)], {})
        assert reading.state == "unreachable (ReadTimeout)"
        assert time.monotonic() - began < 10
