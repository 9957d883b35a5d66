"""Trainings that are paid for elsewhere: by somebody else's clock, at somebody else's price."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Protocol, runtime_checkable

from registry.money.prices import Price


@dataclass(frozen=True, slots=True)
class Usage:
    """What a training used: paid seconds, US dollars, and on what."""

    seconds: float
    usd: Decimal
    hardware: str


@runtime_checkable
class Metered(Protocol):
    """A trainer that runs on a rented machine."""

    @property
    def price(self) -> Price:
        """The dearest that may be taken: what a run costs by the hour whose client is killed."""
        ...

    @property
    def used(self) -> Usage | None:
        """What its last `fit` was paid for, however that ended; None where this process's clock counts, at that price."""
        ...
