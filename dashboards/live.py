"""Endpoints as they are now, without Streamlit: health, requests, errors and latency, as each says of itself."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from time import time
from typing import NamedTuple
from urllib.parse import urlsplit

import httpx
import pandas as pd
from prometheus_client.parser import text_string_to_metric_families

from dashboards.words import shorten
from registry.events import Deployed
from registry.refs import endpoint_name

_PATIENCE_S = 2.0
_MOST_BYTES = 2_000_000
_ERRORS = 500
_REFUSED = 400

TROUBLE = "in trouble"
"""How the state of an endpoint begins that the reconciler could not bring in order."""


class Endpoint(NamedTuple):
    """One endpoint. Figures are since its process started; None where it was not asked, or does not say."""

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


def ask_all(deployed: Sequence[Deployed], headers: Mapping[str, str], known: Mapping[str, str] | None = None) -> list[Endpoint]:
    """Ask those on this machine, together; others are paid by the request, so nobody wakes them for a page.

    What is `known` of trouble with those stands in their place.
    """
    with ThreadPoolExecutor(8) as beside:
        return list(beside.map(lambda one: _ask(one, headers, known or {}), deployed))


def _ask(event: Deployed, headers: Mapping[str, str], known: Mapping[str, str]) -> Endpoint:
    told = (f"{event.model} {event.stage}", event.label, event.target, event.url)
    if event.target != "local" or urlsplit(event.url).hostname not in {"127.0.0.1", "localhost", "::1"}:
        if reason := known.get(endpoint_name(event.model, event.stage)):
            return Endpoint(*told, f"{TROUBLE}: {shorten(reason, 160)}")
        return Endpoint(*told, "in order by the reconciler; not asked, so that it may sleep")
    try:
        answer = httpx.get(f"{event.url}/metrics", headers=dict(headers), timeout=_PATIENCE_S)
        answer.raise_for_status()
        return Endpoint(*told, "answers", **read_figures(answer.text[:_MOST_BYTES]))
    except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
        return Endpoint(*told, f"does not answer ({type(error).__name__})")


def read_figures(page: str) -> dict[str, float | None]:
    """Requests, errors and latency from a Prometheus page of ours. Raises ValueError for what is none."""
    requests = errors = refused = busy = 0.0
    buckets, waiting, started = dict[float, float](), None, None
    for family in text_string_to_metric_families(page):
        for sample in family.samples:
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
            elif sample.name == "modelyard_queue_pictures":
                waiting = sample.value
            elif sample.name == "modelyard_started_seconds":
                started = sample.value
    told: dict[str, float | None] = {"requests": requests, "errors": errors, "refused": refused, "waiting": waiting}
    told |= {"seconds": max(time() - started, 0.0) if started else None, "busy_seconds": busy}
    return told | {"p50_ms": quantile_ms(buckets, 0.5), "p95_ms": quantile_ms(buckets, 0.95)}


def quantile_ms(buckets: Mapping[float, float], share: float) -> float | None:
    """A quantile from cumulative counts by upper edge in seconds, linear within a bucket, as Prometheus does it.

    None where nothing was counted. Above the last finite edge it is that edge.
    """
    edges = sorted(buckets)
    if not edges or not buckets[edges[-1]]:
        return None
    wanted, low, below = share * buckets[edges[-1]], 0.0, 0.0
    for edge in edges:
        if buckets[edge] >= wanted:
            if edge == float("inf"):
                return low * 1e3
            within = (wanted - below) / (buckets[edge] - below) if buckets[edge] > below else 1.0
            return 1e3 * (low + (edge - low) * within)
        low, below = edge, buckets[edge]
    return None


def endpoint_table(found: Iterable[Endpoint]) -> pd.DataFrame:
    """One row an endpoint."""
    rows = [
        (
            *(one.name, one.version, one.target, one.state, one.requests, _share(one.errors, one.requests)),
            *(_share(one.refused, one.requests), one.p50_ms, one.p95_ms, one.waiting, one.url),
        )
        for one in found
    ]
    columns = ["endpoint", "version", "target", "state", "requests", "errors", "refused", "p50 ms", "p95 ms", "waiting", "url"]
    return pd.DataFrame(rows, columns=columns)


def _share(part: float | None, of: float | None) -> float | None:
    return None if part is None or not of else 100 * part / of
