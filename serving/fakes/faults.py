"""Faults: injected by a test, or at random with a seed."""

from __future__ import annotations

import random
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from registry.errors import InputError


@dataclass
class Fault:
    """One kind of fault, for so many of the requests whose "METHOD /path" matches."""

    kind: str
    where: str = "."
    times: int = 1


@dataclass
class Faults:
    """The faults to come. `rates` are probabilities by kind, for requests that match `where`."""

    known: frozenset[str]
    rates: Mapping[str, float] = field(default_factory=dict[str, float])
    where: str = "."
    seed: int = 0
    _waiting: list[Fault] = field(default_factory=list[Fault])

    def __post_init__(self) -> None:
        """Reject unknown kinds."""
        self._random = random.Random(self.seed)  # noqa: S311 not for secrets
        for kind in self.rates:
            self._check(kind)

    def add(self, kind: str, where: str = ".", times: int = 1) -> None:
        """Make the next matching requests fail."""
        self._check(kind)
        self._waiting.append(Fault(kind, where, times))

    def calm(self) -> None:
        """No more faults."""
        self._waiting.clear()
        self.rates = {}

    def next(self, what: str, kinds: frozenset[str]) -> str | None:
        """The fault of this request, among the possible kinds."""
        for fault in self._waiting:
            if fault.kind in kinds and re.search(fault.where, what):
                fault.times -= 1
                if fault.times <= 0:
                    self._waiting.remove(fault)
                return fault.kind
        if not re.search(self.where, what):
            return None
        drawn = self._random.random()
        for kind, rate in self.rates.items():
            if kind in kinds:
                drawn -= rate
                if drawn < 0:
                    return kind
        return None

    def _check(self, kind: str) -> None:
        if kind not in self.known:
            raise InputError(f"fault '{kind}'", f"expected one of {', '.join(sorted(self.known))}", "choose one of them")
