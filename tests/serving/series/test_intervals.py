"""Histograms are added and their quantiles taken; an interval is the difference between two looks at counters."""

from __future__ import annotations

import math
from dataclasses import fields

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.series.buckets import from_cumulative, from_text, merged, quantile, to_text
from serving.series.interval import Counters, Interval, advance
from serving.series.schema import COLUMNS, interval_of, values_of

EDGES = (0.001, 0.01, 0.1, 1.0, math.inf)


def counters(requests: int, started: float = 1.0) -> Counters:
    return Counters(started, requests, 0, 0, {0.1: requests, math.inf: 0}, {0.5: 0, 0.9: requests})


@given(st.lists(st.floats(0.0005, 9.9), min_size=1, max_size=60), st.floats(0.01, 0.99))
def test_a_quantile_lies_in_the_bucket_of_the_true_one(values: list[float], share: float) -> None:
    edges = [0.001, 0.01, 0.1, 1.0, 10.0, math.inf]
    estimate = quantile(from_cumulative({edge: float(sum(value <= edge for value in values)) for edge in edges}), share)
    true = sorted(values)[max(math.ceil(share * len(values)) - 1, 0)]
    low, high = max([0.0, *(edge for edge in edges if edge < true)]), min(edge for edge in edges if edge >= true)
    assert low - 1e-9 <= estimate <= high + 1e-9


def test_a_quantile_of_nothing_is_none_and_one_beyond_all_edges_is_the_last() -> None:
    assert quantile({}, 0.5) is None
    assert quantile({0.1: 0, math.inf: 0}, 0.5) is None
    assert quantile({0.1: 0, math.inf: 3}, 0.5) == 0.1


@given(st.lists(st.dictionaries(st.sampled_from(EDGES), st.integers(0, 10**6)), max_size=5))
def test_buckets_are_added_in_any_order_and_read_back(parts: list[dict[float, int]]) -> None:
    forward, backward = dict[float, int](), dict[float, int]()
    for part in parts:
        forward = merged(forward, from_text(to_text(part)))
    for part in reversed(parts):
        backward = merged(backward, part)
    kept = {edge: count for edge, count in backward.items() if count}
    assert {edge: count for edge, count in forward.items() if count} == kept


@pytest.mark.parametrize("text", ["[1]", "{", '{"a": 1}', '{"1": null}', "3"])
def test_buckets_that_were_not_written_here_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r".*"):
        from_text(text)


def test_a_first_look_counts_all_that_came_before_it_as_late() -> None:
    interval, seen = advance(None, counters(100, started=1000.0), 2_000_000, 60_000)
    assert (interval.requests, interval.late, interval.starts, interval.watched_ms, interval.rate) == (100, 100, 1, 0, None)
    assert seen.since_ms == 1_000_000


def test_a_rate_is_of_the_time_in_which_somebody_looked() -> None:
    _, seen = advance(None, counters(0), 0, 60_000)
    interval, seen = advance(seen, counters(30), 15_000, 60_000)
    assert interval.rate == 2.0
    gap, seen = advance(seen, counters(3030), 3_600_000, 60_000)
    assert (gap.requests, gap.late, gap.rate, gap.starts) == (3000, 3000, None, 0)
    after, _ = advance(seen, counters(3045), 3_615_000, 60_000)
    assert (after.requests, after.rate, (gap + after).rate) == (15, 1.0, 1.0)


def test_another_process_begins_at_nothing_whether_or_not_it_has_counted_more() -> None:
    _, seen = advance(None, counters(50, started=1.0), 0, 60_000)
    for requests in (10, 50, 90):
        interval, _ = advance(seen, counters(requests, started=2.0), 15_000, 60_000)
        assert (interval.requests, interval.starts) == (requests, 1)
    fell, _ = advance(seen, counters(10, started=1.0), 15_000, 60_000)
    assert (fell.requests, fell.starts) == (10, 1)


def test_one_that_does_not_answer_is_unreachable_for_that_time_and_loses_nothing() -> None:
    _, seen = advance(None, counters(50), 0, 60_000)
    away, seen = advance(seen, None, 15_000, 60_000)
    assert (away.unreachable_ms, away.requests, away.rate) == (15_000, 0, None)
    back, _ = advance(seen, counters(60), 30_000, 60_000)
    assert (back.requests, back.late, back.watched_ms, back.starts) == (10, 10, 0, 0)


def test_every_field_of_an_interval_is_kept() -> None:
    interval = Interval(1, 2, 3, 4, 5, 6, 7, {0.1: 8, math.inf: 0}, {0.5: 9})
    assert interval_of(values_of(interval)) == interval
    assert len(fields(Interval)) == len(COLUMNS.split(", "))
