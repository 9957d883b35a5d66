"""What a launch's pods have cost so far, and until when the next one may live, so that the cap holds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal
from math import ceil, inf

from registry.amounts import round_usd

RESERVE_S = 300.0
"""The end of the paid time in which nothing trains any more: ending a pod may take several tries, and each costs."""
LEAST_S = 300.0
"""A pod that has less time than this is not worth its image's pull."""
POD_LATER_S = 60.0
"""The pod's own deadline comes after the client's, so that the client can say why."""
REAPER_LATER_S = 120.0
"""And the reaper's after both."""


@dataclass
class Span:
    """A pod's paid time, in seconds since 1970. `until` is None while it may cost."""

    usd_per_hour: Decimal
    since: float
    until: float | None = None


@dataclass
class Meter:
    """Counts from before a pod is asked for until it is known to be gone, in whole seconds: never less than RunPod bills."""

    max_usd: Decimal
    max_seconds: float
    now: Callable[[], float]
    spans: list[Span] = field(default_factory=list[Span])

    def __post_init__(self) -> None:
        """The launch begins."""
        self._began = self.now()

    def open(self, usd_per_hour: Decimal, since: float) -> Span:
        """A pod may exist from then on."""
        self.spans.append(Span(usd_per_hour, since))
        return self.spans[-1]

    def close(self, span: Span) -> None:
        """It is gone."""
        span.until = self.now()

    @property
    def seconds(self) -> float:
        """Paid seconds so far."""
        return float(sum(self._seconds(span) for span in self.spans))

    @property
    def usd(self) -> Decimal:
        """Cost so far."""
        return round_usd(sum((span.usd_per_hour * self._seconds(span) / 3600 for span in self.spans), Decimal(0)))

    def seconds_left(self, usd_per_hour: Decimal) -> float:
        """For how long a pod at that price may still train, when the reserve is kept."""
        paid = float((self.max_usd - self.usd) / usd_per_hour) * 3600 if usd_per_hour else inf
        return min(paid, self._began + self.max_seconds - self.now()) - RESERVE_S

    def _seconds(self, span: Span) -> int:
        return max(ceil((self.now() if span.until is None else span.until) - span.since), 0)
