"""Histograms as counts by upper edge, each within its own bucket: they are added, and quantiles are taken of any sum."""

from __future__ import annotations

import json
from collections.abc import Mapping
from itertools import pairwise

Buckets = dict[float, int]
"""Upper edge → how many values lie in its bucket. Empty ones are in it too, because an edge bounds the bucket above it."""


def from_cumulative(counts: Mapping[float, float]) -> Buckets:
    """Buckets of counts that each include all lower ones, as Prometheus gives them. Raises ValueError for counts that fall."""
    edges = sorted(counts)
    buckets = {edge: int(counts[edge]) for edge in edges[:1]}
    buckets |= {edge: int(counts[edge]) - int(counts[low]) for low, edge in pairwise(edges)}
    if any(count < 0 for count in buckets.values()):
        message = "a histogram's counts fall"
        raise ValueError(message)
    return buckets


def merged(buckets: Buckets, others: Buckets) -> Buckets:
    """The sum of two."""
    if not buckets or not others:
        return buckets or others
    total = dict(buckets)
    for edge, count in others.items():
        total[edge] = total.get(edge, 0) + count
    return total


def quantile(buckets: Buckets, share: float) -> float | None:
    """The value below which a share of all lies, linear within a bucket, as Prometheus does it.

    None where nothing was counted. Above the last finite edge it is that edge.
    """
    rank, low, below = share * sum(buckets.values()), 0.0, 0
    if not any(buckets.values()):
        return None
    for edge in sorted(buckets):
        count = buckets[edge]
        if below + count >= rank:
            if edge == float("inf"):
                return low
            return low + (edge - low) * ((rank - below) / count if count else 1.0)
        low, below = edge, below + count
    return low


def to_text(buckets: Buckets) -> str:
    """As compact JSON; "" where nothing is counted, which is most of the time."""
    return json.dumps(buckets, separators=(",", ":")) if any(buckets.values()) else ""


def from_text(text: str) -> Buckets:
    """What `to_text` wrote. Raises ValueError for anything else."""
    if not text:
        return {}
    try:
        return {float(edge): int(count) for edge, count in json.loads(text).items()}
    except (AttributeError, TypeError) as error:
        raise ValueError(text) from error
