"""A canary's rules in the job file, and the verdict by them."""

from __future__ import annotations

import math
from typing import Literal

from pydantic import Field

from registry.records import Record
from serving.canary.tally import Side, Tally

_Z = 1.96
"""95 % of a normal distribution lie within so many standard deviations."""
_EARLY = 20
"""Fewer requests than these end nothing early."""


class CanaryRules(Record):
    """A share of a stage's traffic goes to the new version first; it takes the stage over when it does as well."""

    share: float = Field(default=0.1, gt=0, le=0.5, description="of the requests, to the new version")
    requests: int = Field(default=200, ge=20, le=1_000_000, description="that it answers before the verdict")
    max_error_rate: float = Field(default=0.01, ge=0, le=1, description="unless the version that serves fails more often")
    max_latency_ratio: float = Field(default=1.5, ge=1, description="of its 95th percentile to that of the version that serves")
    max_disagreement: float = Field(
        default=0.2,
        ge=0,
        le=1,
        description="of the compared answers with another label, or other boxes, than the version that serves gives",
    )
    hours_at_most: float = Field(default=24, gt=0, le=24 * 30, description="after which it ends, however little was asked")
    when_quiet: Literal["rollback", "promote"] = Field(default="rollback", description="what then follows")


class Verdict(Record):
    """Whether a canary goes on, and why. `figures` are rates, and 95th percentiles in milliseconds."""

    state: Literal["going", "good", "bad"]
    reason: str
    figures: dict[str, float]


def judge(rules: CanaryRules, tally: Tally, hours: float) -> Verdict:
    """The verdict after `hours`. A rate that is too high beyond doubt (95 %) ends it before its requests are complete."""
    figures = figures_of(tally)
    asked, allowed = tally.canary.requests, max(rules.max_error_rate, figures["stable_error_rate"])
    limits = (
        ("fails", tally.canary.failed, asked, allowed),
        ("disagrees with the version that serves in", tally.disagreed, tally.compared, rules.max_disagreement),
    )
    complete = asked >= rules.requests
    for words, bad, of, limit in limits:
        rate = bad / of if of else 0.0
        doubtless = of >= _EARLY and _at_least(bad, of) > limit
        if doubtless or (complete and rate > limit):
            return Verdict(state="bad", reason=f"{words} {rate:.1%} of {of} requests, over {limit:.1%}", figures=figures)
    if not complete:
        if hours < rules.hours_at_most:
            return Verdict(state="going", reason=f"{asked} of {rules.requests} requests", figures=figures)
        good = rules.when_quiet == "promote" and asked > 0
        reason = f"only {asked} of {rules.requests} requests in {hours:.1f} h"
        return Verdict(state="good" if good else "bad", reason=reason, figures=figures)
    if tally.compared * 2 < rules.requests:
        return Verdict(
            state="bad" if hours >= rules.hours_at_most else "going",
            reason=f"only {tally.compared} answers could be compared",
            figures=figures,
        )
    if tally.stable.requests and figures["canary_p95_ms"] > rules.max_latency_ratio * figures["stable_p95_ms"]:
        slow, fast = figures["canary_p95_ms"], figures["stable_p95_ms"]
        reason = f"takes {slow:.1f} ms (95th percentile), over {rules.max_latency_ratio:g} times {fast:.1f} ms"
        return Verdict(state="bad", reason=reason, figures=figures)
    reason = f"as good as the version that serves in {asked} requests, {tally.compared} of them compared"
    return Verdict(state="good", reason=reason, figures=figures)


def figures_of(tally: Tally) -> dict[str, float]:
    """The rates and percentiles of both sides."""
    figures = {"canary_requests": float(tally.canary.requests), "stable_requests": float(tally.stable.requests)}
    for name, side in (("canary", tally.canary), ("stable", tally.stable)):
        figures[f"{name}_error_rate"] = side.failed / side.requests if side.requests else 0.0
        figures[f"{name}_p95_ms"] = 1e3 * _percentile(side, 0.95)
    return figures | {
        "compared": float(tally.compared),
        "disagreement": tally.disagreed / tally.compared if tally.compared else 0.0,
    }


def _percentile(side: Side, share: float) -> float:
    """The upper edge, in seconds, of the bucket that holds the percentile."""
    wanted, seen = share * sum(side.buckets), 0
    for bucket, count in enumerate(side.buckets):
        seen += count
        if count and seen >= wanted:
            return Side.edge(bucket)
    return 0.0


def _at_least(bad: int, of: int) -> float:
    """The lower end of Wilson's 95 % interval (Wilson 1927) of a rate that was seen as `bad` in `of`."""
    rate, z2 = bad / of, _Z * _Z
    middle = rate + z2 / (2 * of)
    spread = _Z * math.sqrt(rate * (1 - rate) / of + z2 / (4 * of * of))
    return (middle - spread) / (1 + z2 / of)
