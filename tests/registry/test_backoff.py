"""Waits grow with failures, and a clock that is set back lengthens none by more than itself."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry.backoff import FIRST_S, LONGEST_S, until, wait_is_over, wait_s

START = datetime(2026, 11, 2, tzinfo=UTC)
JUMPS = st.lists(st.tuples(st.floats(0.1, 700), st.floats(-5000, 5000)), max_size=6)
"""Seconds until the clock is set, and by how much."""


def test_a_wait_doubles_up_to_ten_minutes() -> None:
    assert [wait_s(failures) for failures in (0, 1, 2, 3, 100)] == [FIRST_S, FIRST_S, 2 * FIRST_S, 4 * FIRST_S, LONGEST_S]
    assert until(START, 2) == START + timedelta(seconds=4)


@given(failures=st.integers(1, 40), waited=st.floats(0, 2000))
def test_on_a_clock_that_nobody_sets_it_is_over_when_its_time_has_passed(failures: int, waited: float) -> None:
    at = START + timedelta(seconds=waited)
    assert wait_is_over(START, failures, at) == (at >= until(START, failures))


@given(failures=st.integers(1, 40), jumps=JUMPS)
def test_each_time_the_clock_is_set_costs_one_more_wait_at_most(failures: int, jumps: list[tuple[float, float]]) -> None:
    """Looked at every few seconds, as the reconciler does, until it is over."""
    real, offset, changes, step = 0.0, 0.0, list[tuple[float, float]](), wait_s(failures) / 50
    for after, by in jumps:
        changes.append((after + (changes[-1][0] if changes else 0.0), by))
    limit = wait_s(failures) * (1 + sum(by < 0 for _, by in jumps)) + 2 * step
    while not wait_is_over(START, failures, START + timedelta(seconds=real + offset)):
        real += step
        while changes and changes[0][0] <= real:
            offset += changes.pop(0)[1]
        assert real <= limit


@pytest.mark.parametrize("back", [timedelta(seconds=1), timedelta(hours=1), timedelta(days=4000)])
def test_a_failure_that_lies_in_the_future_is_tried_again_now(back: timedelta) -> None:
    assert wait_is_over(START, 30, START - back)
