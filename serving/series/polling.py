"""Endpoints as they are now: health, requests, errors and latency, from each one's own metrics."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import NamedTuple
from urllib.parse import urlsplit

import httpx

from registry.errors import shorten
from registry.events import Deployed
from registry.refs import endpoint_name
from registry.reports.endpoints import endpoint_named
from serving.series.interval import Counters
from serving.series.scrape import Scrape, parse_metrics
from serving.targets.waiting import tls

_TIMEOUT_S, _DEADLINE_S = 2.0, 5.0
_MOST_BYTES = 2_000_000
_LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})

TROUBLE = "failing"
"""How the state of an endpoint begins that the reconciler could not repair."""
UNREACHABLE = "unreachable"
NOT_POLLED = "OK when last reconciled; not polled, so that it can sleep"


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
    p99_ms: float | None = None
    waiting: float | None = None
    seconds: float | None = None
    busy_seconds: float | None = None
    workers: float | None = None
    endpoint: str = ""
    served: str = ""
    counters: Counters | None = None


def is_on_this_machine(target: str, url: str) -> bool:
    """Whether an endpoint is a process here: others are paid for by the request, and nobody wakes them to look."""
    return target == "local" and urlsplit(url).hostname in _LOOPBACK


def poll_endpoints(
    deployed: Sequence[Deployed], headers: Mapping[str, str], failures: Mapping[str, str] | None = None
) -> list[EndpointReading]:
    """Poll those on this machine, in parallel. Others are paid for by the request: no page wakes them.

    Those show instead what the reconciler last failed to do for them: `failures`, by endpoint.
    """
    # No proxy: the key is for this machine's endpoints alone.
    with (
        httpx.Client(headers=dict(headers), timeout=_TIMEOUT_S, verify=tls(), trust_env=False) as client,
        ThreadPoolExecutor(8) as pool,
    ):
        return list(pool.map(partial(_poll, client, failures=failures or {}), deployed))


def _poll(client: httpx.Client, event: Deployed, failures: Mapping[str, str]) -> EndpointReading:
    reading = EndpointReading(f"{event.model} {event.stage}", event.label, event.target, event.url, NOT_POLLED)
    reading = reading._replace(endpoint=endpoint_named(event))
    if not is_on_this_machine(event.target, event.url):
        if reason := failures.get(endpoint_name(event.model, event.stage)):
            return reading._replace(state=f"{TROUBLE}: {shorten(reason, 160)}")
        return reading
    try:
        scrape = _scrape(client, event.url)
    except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
        return reading._replace(state=f"{UNREACHABLE} ({type(error).__name__})")
    return reading._replace(state="up", served=scrape.served, counters=scrape.counters, **scrape.figures())


def _scrape(client: httpx.Client, url: str) -> Scrape:
    """Its metrics. A page that does not end, or that comes byte by byte, is cut off."""
    page, deadline = bytearray(), time.monotonic() + _DEADLINE_S
    with client.stream("GET", f"{url}/metrics") as answer:
        answer.raise_for_status()
        for chunk in answer.iter_bytes():
            page += chunk
            if len(page) > _MOST_BYTES or time.monotonic() > deadline:
                raise httpx.ReadTimeout("the page does not end")
    return parse_metrics(page.decode(errors="replace"))
