"""The verdict on a canary follows from what was counted."""

from __future__ import annotations

import pytest

from serving.canary.rules import CanaryRules, judge
from serving.canary.tally import Side, Tally

RULES = CanaryRules(share=0.5, requests=100, hours_at_most=2)


def side(requests: int, failed: int = 0, seconds: float = 0.01) -> Side:
    counts = Side()
    for number in range(requests):
        counts = counts.with_request(seconds, failed=number < failed)
    return counts


def tally(canary: Side, stable: Side | None = None, compared: int = 90, disagreed: int = 0) -> Tally:
    return Tally("b", stable or side(100), canary, compared, disagreed)


@pytest.mark.parametrize(
    ("counted", "hours", "state", "why"),
    [
        (tally(side(100)), 0.1, "good", "100 requests"),
        (tally(side(99)), 0.1, "going", "99 of 100"),
        (tally(side(100, failed=2)), 0.1, "bad", "fails 2.0% of 100"),
        (tally(side(30, failed=1)), 0.1, "going", "30 of 100"),
        (tally(side(30, failed=10)), 0.1, "bad", "fails 33.3% of 30"),
        (tally(side(10, failed=10)), 0.1, "going", "10 of 100"),
        (tally(side(100, failed=2), side(100, failed=3)), 0.1, "good", "100 requests"),
        (tally(side(100), disagreed=18), 0.1, "good", "90 of them compared"),
        (tally(side(100), disagreed=19), 0.1, "bad", "disagrees"),
        (tally(side(40), compared=30, disagreed=20), 0.1, "bad", "disagrees"),
        (tally(side(100, seconds=0.0149)), 0.1, "good", "100 requests"),
        (tally(side(100, seconds=0.02)), 0.1, "bad", "takes"),
        (tally(side(100), compared=49), 0.1, "going", "only 49"),
        (tally(side(100), compared=49), 2.0, "bad", "only 49"),
        (tally(side(99)), 2.0, "bad", "only 99 of 100"),
    ],
)
def test_the_verdict_follows_from_the_figures(counted: Tally, hours: float, state: str, why: str) -> None:
    verdict = judge(RULES, counted, hours)
    assert (verdict.state, why in verdict.reason) == (state, True), verdict


def test_a_quiet_stage_may_promote_where_that_was_agreed() -> None:
    rules = RULES.model_copy(update={"when_quiet": "promote"})
    assert judge(rules, tally(side(3)), 2.0).state == "good"
    assert judge(rules, tally(side(0)), 2.0).state == "bad"  # what nobody asked shows nothing
