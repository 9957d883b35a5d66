"""The tables of `metrics.db`, and its rows as intervals."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from serving.series.buckets import from_text, to_text
from serving.series.interval import Counters, Interval, Seen

FORMAT = 1
TABLES = """
CREATE TABLE points (
    endpoint TEXT NOT NULL, span_s INTEGER NOT NULL, start_s INTEGER NOT NULL, version TEXT NOT NULL,
    requests INTEGER NOT NULL, errors INTEGER NOT NULL, refused INTEGER NOT NULL, late INTEGER NOT NULL,
    starts INTEGER NOT NULL, watched_ms INTEGER NOT NULL, unreachable_ms INTEGER NOT NULL,
    latency TEXT NOT NULL, scores TEXT NOT NULL,
    PRIMARY KEY (endpoint, span_s, start_s, version)
) WITHOUT ROWID;
CREATE TABLE endpoints (
    endpoint TEXT PRIMARY KEY, at_ms INTEGER NOT NULL, answered INTEGER NOT NULL, counters TEXT NOT NULL,
    since_ms INTEGER NOT NULL
) WITHOUT ROWID;
"""
COLUMNS = "requests, errors, refused, late, starts, watched_ms, unreachable_ms, latency, scores"
SPANS = (15, 300, 3600)
"""Seconds of an interval: new ones are of the first; each divides the next, into which it is added when it is old."""
KEPT_S = (86_400, 14 * 86_400, 400 * 86_400)
"""For how long intervals of each span are kept."""


def values_of(interval: Interval) -> tuple[int | str, ...]:
    """An interval as the values of COLUMNS."""
    counts = (interval.requests, interval.errors, interval.refused, interval.late, interval.starts)
    times = (interval.watched_ms, interval.unreachable_ms)
    return (*counts, *times, to_text(interval.latency), to_text(interval.scores))


def interval_of(values: Sequence[Any]) -> Interval:
    """The values of COLUMNS as an interval. Raises ValueError for what was not written here."""
    *numbers, latency, scores = values
    return Interval(*map(int, numbers), latency=from_text(latency), scores=from_text(scores))


def seen_values(seen: Seen) -> tuple[int | str, ...]:
    """A look at an endpoint as the values of its row, but for its name."""
    text = ""
    if seen.counters is not None:
        *numbers, latency, scores = seen.counters
        text = json.dumps([*numbers, to_text(latency), to_text(scores)])
    return (seen.at_ms, int(seen.answered), text, seen.since_ms)


def seen_of(values: Sequence[Any]) -> Seen:
    """The same, read back. Raises ValueError for what was not written here."""
    at_ms, answered, text, since_ms = values
    counters = None
    if text:
        started, requests, errors, refused, latency, scores = json.loads(text)
        counters = Counters(started, requests, errors, refused, from_text(latency), from_text(scores))
    return Seen(at_ms, bool(answered), counters, since_ms)
