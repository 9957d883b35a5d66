"""The one comparison that gates share."""

from __future__ import annotations

import math
from dataclasses import dataclass

from registry.records import Finding


@dataclass(frozen=True, slots=True)
class Figure:
    """A measured figure with its name and unit."""

    gate: str
    name: str
    value: float
    unit: str = ""

    def at_least(self, limit: float) -> Finding:
        """Passes when the figure is finite and reaches the limit."""
        return self._finding(limit, "at least" if self.value >= limit else "below", passed=self.value >= limit)

    def at_most(self, limit: float) -> Finding:
        """Passes when the figure is finite and does not exceed the limit."""
        return self._finding(limit, "at most" if self.value <= limit else "above", passed=self.value <= limit)

    def _finding(self, limit: float, words: str, *, passed: bool) -> Finding:
        if not math.isfinite(self.value):
            return Finding(gate=self.gate, passed=False, text=f"{self.name} was not measured", limit=limit)
        text = f"{self.name} {self.value:.4g}{self.unit} is {words} {limit:.4g}{self.unit}"
        return Finding(gate=self.gate, passed=passed, text=text, figure=self.value, limit=limit)


def missing_evidence(gate: str, text: str) -> Finding:
    """Fails because there is nothing to judge."""
    return Finding(gate=gate, passed=False, text=text)
