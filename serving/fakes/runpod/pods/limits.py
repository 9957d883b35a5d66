"""RunPod's three windows of requests: a minute, an hour, a day. Retry-After names only the one that refused."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass, field

from serving.fakes.plain import Answer, refuse

_LONGEST_S = {"minute": 20.0, "hour": 75.0, "day": 90.0}
"""For how long a fault exhausts each: shorter than the windows, since a day is not waited for."""


@dataclass
class Limits:
    """Until when each window is empty, in seconds since 1970."""

    until: dict[str, float] = field(default_factory=lambda: dict.fromkeys(_LONGEST_S, 0.0))
    refused: int = 0

    def exhaust(self, now: float, draw: random.Random) -> None:
        """Empty the shortest window, and by chance the others."""
        for name, longest in _LONGEST_S.items():
            if name == "minute" or draw.random() < 0.5:  # noqa: PLR2004
                self.until[name] = now + draw.uniform(1.0, longest)

    def refuse(self, now: float) -> Answer | None:
        """429 while any window is empty."""
        waits = {name: until - now for name, until in self.until.items() if until > now}
        if not waits:
            return None
        self.refused += 1
        windows = ", ".join(f'"{name}";r={0 if name in waits else 40};t={math.ceil(waits.get(name, 0))}' for name in self.until)
        shortest = min(waits.values())
        return refuse(429, "rate limit exceeded", headers={"retry-after": f"{math.ceil(shortest)}", "ratelimit": windows})
