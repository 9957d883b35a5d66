"""Endpoints as they are now, as a table."""

from __future__ import annotations

from collections.abc import Iterable

import pandas as pd

from serving.series.polling import EndpointReading


def endpoint_table(readings: Iterable[EndpointReading]) -> pd.DataFrame:
    """One row an endpoint; errors and refusals in percent of its requests."""
    rows = [
        (
            *(reading.name, reading.version, reading.target, reading.state, reading.requests),
            *(percent(reading.errors, reading.requests), percent(reading.refused, reading.requests)),
            *(reading.p50_ms, reading.p95_ms, reading.p99_ms, reading.waiting, reading.url),
        )
        for reading in readings
    ]
    columns = ["endpoint", "version", "target", "state", "requests", "errors", "refused"]
    return pd.DataFrame(rows, columns=[*columns, "p50 ms", "p95 ms", "p99 ms", "waiting", "url"])


def percent(part: float | None, of: float | None) -> float | None:
    """A share in percent; None of nothing."""
    return None if part is None or not of else 100 * part / of
