"""How many requests an endpoint gets, and when: Poisson arrivals of bursts within the hours of a day."""

from __future__ import annotations

import random
from collections.abc import Iterator
from itertools import count

from pydantic import Field

from registry.records import Record

DAY_S = 86_400.0
DAYS_PER_MONTH = 365 / 12


class Traffic(Record):
    """The shape of a week. Bursts have a random size (geometric) with the given mean."""

    requests_per_day: float = Field(ge=0, le=1e9, allow_inf_nan=False, description="on a day with traffic")
    hours_per_day: float = Field(default=24, gt=0, le=24, description="in which they arrive, without a gap")
    days_per_week: float = Field(default=7, gt=0, le=7)
    burst: float = Field(default=1, ge=1, le=10_000, description="requests that arrive at the same moment, on average")

    @property
    def days_per_month(self) -> float:
        """With traffic."""
        return DAYS_PER_MONTH * self.days_per_week / 7

    @property
    def requests_per_month(self) -> float:
        """On average."""
        return self.requests_per_day * self.days_per_month

    @property
    def per_second(self) -> float:
        """Requests per second while there is traffic."""
        return self.requests_per_day / (self.hours_per_day * 3600)

    def arrivals(self, days: float, seed: int = 0) -> Iterator[float]:
        """Seconds from the start, in order, over so many active days in a row; the night between them is silent."""
        dice = random.Random(seed)  # noqa: S311 not for secrets
        open_s, rate = self.hours_per_day * 3600, self.per_second / self.burst
        if not rate:  # none, or so few that no number is small enough
            return
        awake, until = 0.0, days * open_s
        for _ in count():
            awake += dice.expovariate(rate)
            if awake >= until:
                return
            night = (DAY_S - open_s) * (awake // open_s)
            for _ in range(_burst(dice, self.burst)):
                yield awake + night


def _burst(dice: random.Random, mean: float) -> int:
    size = 1
    while mean > 1 and dice.random() > 1 / mean:
        size += 1
    return size
