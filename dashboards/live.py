"""Endpoints as they are now, without Streamlit: health, requests, errors and latency, from each one's own metrics."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from time import time
from typing import NamedTuple

import httpx
import pandas as pd
from prometheus_client.parser import text_string_to_metric_families

from dashboards.ask import is_on_this_machine
from registry.errors import shorten
from registry.events import Deployed
from registry.refs import endpoint_name
from serving.inference.traffic import is_request

_TIMEOUT_S = 2.0
_MOST_BYTES = 2_000_000
_ERRORS = 500
_REFUSED = 400

TROUBLE = "failing"
"""How the state of an endpoint begins that the reconciler could not repair."""
UNREACHABLE = "unreachable"


class EndpointReading(NamedTuple):
    """What one poll of an endpoint showed. Figures are since its process started; None where it was not polled or has none."""

    name: str
    version: str
    target: str
    url: str
    state: str
    requests: float | None = None
    errors: float | None = None
    refused: float | None = None
    p50_ms: float | None = None
    p95_ms: float | None = None
    waiting: float | None = None
    seconds: float | None = None
    busy_seconds: float | None = None
    workers: float | None = None


def poll_endpoints(
    deployed: Sequence[Deployed], headers: Mapping[str, str], failures: Mapping[str, str] | None = None
) -> list[EndpointReading]:
    """Poll those on this machine, in parallel. Others are paid for by the request: no page wakes them.

    Those show instead what the reconciler last failed to do for them: `failures`, by endpoint.
    """
    with ThreadPoolExecutor(8) as pool:
        return list(pool.map(lambda event: _poll(event, headers, failures or {}), deployed))


def _poll(event: Deployed, headers: Mapping[str, str], failures: Mapping[str, str]) -> EndpointReading:
    name = f"{event.model} {event.stage}"
    identity = (name, event.label, event.target, event.url)
    if not is_on_this_machine(event.target, event.url):
        if reason := failures.get(endpoint_name(event.model, event.stage)):
            return EndpointReading(*identity, f"{TROUBLE}: {shorten(reason, 160)}")
        return EndpointReading(*identity, "OK when last reconciled; not polled, so that it can sleep")
    try:
        answer = httpx.get(f"{event.url}/metrics", headers=dict(headers), timeout=_TIMEOUT_S)
        answer.raise_for_status()
        return EndpointReading(*identity, "up", **parse_metrics(answer.text[:_MOST_BYTES]))
    except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
        return EndpointReading(*identity, f"{UNREACHABLE} ({type(error).__name__})")


def parse_metrics(page: str) -> dict[str, float | None]:
    """Requests, errors and latency from a Prometheus page of ours. Raises ValueError for any other text.

    What is no request, such as a health check, is in none of these figures.
    """
    requests = errors = refused = busy = 0.0
    buckets, gauges = dict[float, float](), dict[str, float]()
    for family in text_string_to_metric_families(page):
        for sample in family.samples:
            if not is_request(sample.labels.get("protocol", "")):
                continue
            if sample.name == "modelyard_requests_total":
                status = int(sample.labels.get("status", "0"))
                requests += sample.value
                errors += sample.value * (status >= _ERRORS)
                refused += sample.value * (_REFUSED <= status < _ERRORS)
            elif sample.name == "modelyard_request_seconds_bucket":
                edge = float(sample.labels["le"])
                buckets[edge] = buckets.get(edge, 0.0) + sample.value
            elif sample.name in {"modelyard_decode_seconds_sum", "modelyard_predict_seconds_sum"}:
                busy += sample.value
            elif not sample.labels:
                gauges[sample.name] = sample.value
    figures: dict[str, float | None] = {"requests": requests, "errors": errors, "refused": refused}
    started, workers = gauges.get("modelyard_started_seconds"), gauges.get("modelyard_workers")
    figures |= {"waiting": gauges.get("modelyard_queue_pictures"), "workers": gauges.get("modelyard_worker_slots", workers)}
    figures |= {"seconds": max(time() - started, 0.0) if started else None, "busy_seconds": busy}
    return figures | {"p50_ms": quantile_ms(buckets, 0.5), "p95_ms": quantile_ms(buckets, 0.95)}


def quantile_ms(buckets: Mapping[float, float], share: float) -> float | None:
    """A quantile from cumulative counts by upper edge in seconds, linear within a bucket, as Prometheus does it.

    None where nothing was counted. Above the last finite edge it is that edge.
    """
    edges = sorted(buckets)
    if not edges or not buckets[edges[-1]]:
        return None
    rank, low, below = share * buckets[edges[-1]], 0.0, 0.0
    for edge in edges:
        if buckets[edge] >= rank:
            if edge == float("inf"):
                return low * 1e3
            within = (rank - below) / (buckets[edge] - below) if buckets[edge] > below else 1.0
            return 1e3 * (low + (edge - low) * within)
        low, below = edge, buckets[edge]
    return None


def endpoint_table(readings: Iterable[EndpointReading]) -> pd.DataFrame:
    """One row an endpoint; errors and refusals in percent of its requests."""
    rows = [
        (
            *(reading.name, reading.version, reading.target, reading.state, reading.requests),
            *(_percent(reading.errors, reading.requests), _percent(reading.refused, reading.requests)),
            *(reading.p50_ms, reading.p95_ms, reading.waiting, reading.url),
        )
        for reading in readings
    ]
    columns = ["endpoint", "version", "target", "state", "requests", "errors", "refused", "p50 ms", "p95 ms", "waiting", "url"]
    return pd.DataFrame(rows, columns=columns)


def _percent(part: float | None, of: float | None) -> float | None:
    return None if part is None or not of else 100 * part / of
