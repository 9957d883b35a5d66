"""What goes wrong: once where a test says so, or at random with a seed."""

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
    """Those to come. `rates` are probabilities by kind, for requests that match `where`."""

    known: frozenset[str]
    rates: Mapping[str, float] = field(default_factory=dict[str, float])
    where: str = "."
    seed: int = 0
    _waiting: list[Fault] = field(default_factory=list[Fault])

    def __post_init__(self) -> None:
        """Refuse what no double can do."""
        self._random = random.Random(self.seed)  # noqa: S311 it keeps no secret
        for kind in self.rates:
            self._check(kind)

    def add(self, kind: str, where: str = ".", times: int = 1) -> None:
        """Let the next requests that match fail."""
        self._check(kind)
        self._waiting.append(Fault(kind, where, times))

    def calm(self) -> None:
        """Nothing goes wrong from now on."""
        self._waiting.clear()
        self.rates = {}

    def next(self, what: str, kinds: frozenset[str]) -> str | None:
        """The fault of this request, of those kinds that it can have."""
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
